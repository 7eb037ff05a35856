"""Rows a second on one core: rows that need no computing, and a long table over fifty clips.

    python bench/tables.py [--rows 1000000] [--rounds 3] [--disk FOLDER] [--output FOLDER]

The whole command, `saliency-batch run` with the built-in model, confined to one core with all it starts; files in
memory (/dev/shm) and on disk (FOLDER, by default the temporary folder). `rows/s` is what each further row costs: the
rows beyond a table of fifty rows, by the seconds beyond that table's. `skipped` rows have their numbers already,
`shared` ones name one of fifty clips, which the table of fifty rows computes too. `plain copy` is the time to copy as
many bytes to the same place and make them safe (fsync): what the disk alone asks for. Medians; the places take turns.
From one format to another with a tenth of the rows, in memory only.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from machine import RESULTS, save
from made import make_clips, make_table
from memory import COMMAND

CLIPS = 50
_MEMORY = Path("/dev/shm")


@dataclass(frozen=True)
class Case:
    """Rows of one kind from one format to another; ``bar`` is in rows/s, ``share`` that of ``--rows``."""

    source: str
    target: str
    rows: Literal["skipped", "shared"] = "skipped"
    bar: int | None = None
    share: float = 1.0
    places: tuple[str, ...] = ("memory", "disk")


CASES = [
    *(Case("jsonl", "jsonl", rows, bar=100_000) for rows in ("skipped", "shared")),
    *(Case("parquet", "parquet", rows, bar=1_000_000) for rows in ("skipped", "shared")),
    *(
        Case(source, target, share=0.1, places=("memory",))
        for source, target in (
            ("jsonl", "parquet"),
            ("parquet", "jsonl"),
            ("jsonl", "jsonl.gz"),
            ("jsonl", "jsonl.zst"),
        )
    ),
]


def main() -> None:
    """Run every case and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--disk", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder for the JSON file")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=_MEMORY) as memory, tempfile.TemporaryDirectory(dir=arguments.disk) as disk:
        places = {"memory": Path(memory), "disk": Path(disk)}
        clips = make_clips(Path(memory), CLIPS, 320, 240, frames=8)
        results = []
        print("| | rows are | files in | rows/s | bar | rows | seconds | 50 rows | plain copy |")
        print("|---|---|---|---:|---|---:|---:|---:|---:|")
        for case in CASES:
            here = {place: places[place] for place in case.places}
            results += _measure(case, here, clips, round(arguments.rows * case.share), arguments.rounds)
            for result in results[-len(here) :]:
                print(_line(result), flush=True)
    save("tables", {"rounds": arguments.rounds, "results": results}, arguments.output)


def _measure(
    case: Case, places: dict[str, Path], clips: Sequence[Path], rows: int, rounds: int
) -> list[dict[str, Any]]:
    seconds: dict[str, dict[str, list[float]]] = {place: {"few": [], "many": [], "copy": []} for place in places}
    for folder in places.values():
        make_table(folder / f"few.{case.source}", CLIPS, clips, done=case.rows == "skipped")
        make_table(folder / f"many.{case.source}", rows, clips, done=case.rows == "skipped")
    for _ in range(rounds):
        for place, folder in places.items():
            for size in ("few", "many"):
                seconds[place][size].append(_run(folder / f"{size}.{case.source}", folder / f"out.{case.target}"))
            seconds[place]["copy"].append(_copy(folder / f"out.{case.target}", folder / "copy"))
    results = []
    for place, folder in places.items():
        few, many, copy = (statistics.median(seconds[place][name]) for name in ("few", "many", "copy"))
        results.append(
            {
                "source": case.source,
                "target": case.target,
                "case": case.rows,
                "place": place,
                "rows": rows,
                "bytes_a_row": round((folder / f"many.{case.source}").stat().st_size / rows),
                "seconds_of_fifty_rows": round(few, 2),
                "seconds": round(many, 2),
                "rows_per_second": round((rows - CLIPS) / (many - few)),
                "bar": case.bar,
                "seconds_of_plain_copy": round(copy, 2),
            }
        )
        for file in (f"few.{case.source}", f"many.{case.source}", f"out.{case.target}"):
            (folder / file).unlink()
    return results


def _run(table: Path, output: Path) -> float:
    command = [*COMMAND, "--model", "frequency_tuned_v1", "--memo", "off"]
    command += ["--input", str(table), "--output", str(output)]
    return _timed(lambda: subprocess.run(command, check=True, preexec_fn=_one_core))


def _copy(source: Path, target: Path) -> float:
    def copy() -> None:
        with source.open("rb") as reader, target.open("wb") as writer:
            shutil.copyfileobj(reader, writer, 1 << 20)
            os.fsync(writer.fileno())

    seconds = _timed(copy)
    target.unlink()
    return seconds


def _timed(work: Any) -> float:
    os.sync()  # what was written before is not to be paid for here
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _one_core() -> None:
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def _line(result: dict[str, Any]) -> str:
    bar = result["bar"]
    met = f"{bar:,}: {'met' if result['rows_per_second'] >= bar else 'missed'}" if bar else ""
    return (
        f"| {result['source']} → {result['target']} | {result['case']} | {result['place']} | "
        f"{result['rows_per_second']:,} | {met} | {result['rows']:,} | {result['seconds']} | "
        f"{result['seconds_of_fifty_rows']} | {result['seconds_of_plain_copy']} |"
    )


if __name__ == "__main__":
    main()
