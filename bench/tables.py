"""Rows a second on one core: rows that need no computing, and a long table over fifty clips.

    python bench/tables.py [--rows 1000000] [--rounds 3] [--disk FOLDER] [--output FOLDER]

This measures the whole command, `saliency-batch run` with frequency_tuned_v1, confined to one core with all that it
starts, on files in memory (/dev/shm) and on disk (FOLDER, by default the temporary folder).

- `rows/s` says what each further row costs: the rows that the table has beyond fifty, divided by the seconds that it
  takes beyond those of a table of fifty rows.
- `skipped` rows have their numbers already; `shared` ones name one of fifty clips, which the table of fifty rows
  computes too.
- `plain way`, on the same core in the same rounds, is a loop over orjson's `loads` and `dumps`, or PyArrow's
  `read_table` and `write_table`; either adds one column.
- `plain copy` is the seconds to copy as many bytes to the same place and flush them (fsync): what the disk alone takes.

Figures are medians; memory and disk take turns. Conversions from one format to another have a tenth of the rows and are
measured in memory only.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from harness.inputs import make_clips, make_table
from harness.memory import COMMAND
from harness.results import RESULTS, save

CLIPS = 50
_MEMORY = Path("/dev/shm")


@dataclass(frozen=True)
class Case:
    """Rows of one kind from the format ``source`` to the format ``target``."""

    source: str
    target: str
    rows: Literal["skipped", "shared"] = "skipped"
    fields: int = 60
    bar: int | None = None
    """In rows/s."""
    share: float = 1.0
    """How many of ``--rows`` there are."""
    places: tuple[str, ...] = ("memory", "disk")


CASES = [
    *(Case("jsonl", "jsonl", rows, bar=100_000) for rows in ("skipped", "shared")),
    *(Case("parquet", "parquet", rows, n, bar=1_000_000) for n in (10, 60) for rows in ("skipped", "shared")),
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
_PLAIN = {
    ("jsonl", "jsonl"): """
import orjson, sys
with open(sys.argv[1], "rb") as reader, open(sys.argv[2], "wb") as writer:
    for line in reader:
        writer.write(orjson.dumps(orjson.loads(line) | {"saliency_status": "skipped-existing"}) + b"\\n")
""",
    ("parquet", "parquet"): """
import pyarrow, pyarrow.parquet, sys
table = pyarrow.parquet.read_table(sys.argv[1], use_threads=False)
status = pyarrow.repeat("skipped-existing", table.num_rows)
pyarrow.parquet.write_table(table.append_column("saliency_status", status), sys.argv[2])
""",
}


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
        print("| | fields | rows are | files in | rows/s | bar | plain way | rows | seconds | 50 rows | plain copy |")
        print("|---|---:|---|---|---:|---|---:|---:|---:|---:|---:|")
        for case in CASES:
            here = {place: places[place] for place in case.places}
            results += _measure(case, here, clips, round(arguments.rows * case.share), arguments.rounds)
            for result in results[-len(here) :]:
                print(_format_line(result), flush=True)
    save("tables", {"rounds": arguments.rounds, "results": results}, arguments.output)


def _measure(
    case: Case, places: dict[str, Path], clips: Sequence[Path], rows: int, rounds: int
) -> list[dict[str, Any]]:
    tables = {"few": f"few.{case.source}", "many": f"many.{case.source}"}
    seconds: dict[str, defaultdict[str, list[float]]] = {place: defaultdict(list) for place in places}
    for folder in places.values():
        for size, count in (("few", CLIPS), ("many", rows)):
            make_table(folder / tables[size], count, clips, done=case.rows == "skipped", fields=case.fields)
    for _ in range(rounds):
        for place, folder in places.items():
            _run_round(case, folder, tables, seconds[place])
    results = []
    for place, folder in places.items():
        bytes_a_row = round((folder / tables["many"]).stat().st_size / rows)
        median = {name: statistics.median(each) for name, each in seconds[place].items()}
        results.append(_make_result(case, place, rows, median) | {"bytes_a_row": bytes_a_row})
        for file in (*tables.values(), f"out.{case.target}"):
            (folder / file).unlink()
    return results


def _run_round(case: Case, folder: Path, tables: dict[str, str], seconds: dict[str, list[float]]) -> None:
    output, plain = folder / f"out.{case.target}", _PLAIN.get((case.source, case.target))
    for size, name in tables.items():
        table = str(folder / name)
        if plain and case.rows == "skipped":
            seconds[f"plain {size}"].append(_run([sys.executable, "-c", plain, table, str(output)], output))
        command = [*COMMAND, "--model", "frequency_tuned_v1", "--memo", "off"]
        seconds[size].append(_run([*command, "--input", table, "--output", str(output)], output))
    seconds["copy"].append(_copy(output, folder / "copy"))


def _make_result(case: Case, place: str, rows: int, median: dict[str, float]) -> dict[str, Any]:
    def rate(way: str) -> int | None:
        many, few = median.get(f"{way}many"), median.get(f"{way}few")
        return round((rows - CLIPS) / (many - few)) if many and few else None

    return {
        "source": case.source,
        "target": case.target,
        "fields": case.fields,
        "case": case.rows,
        "place": place,
        "rows": rows,
        "seconds_of_fifty_rows": round(median["few"], 2),
        "seconds": round(median["many"], 2),
        "rows_per_second": rate(""),
        "bar": case.bar,
        "rows_per_second_the_plain_way": rate("plain "),
        "seconds_of_plain_copy": round(median["copy"], 2),
    }


def _run(command: Sequence[str], output: Path) -> float:
    output.unlink(missing_ok=True)  # else the time to free the last one's gigabyte would count
    return _time(lambda: subprocess.run(command, check=True, preexec_fn=_keep_to_one_core))


def _copy(source: Path, target: Path) -> float:
    def copy() -> None:
        with source.open("rb") as reader, target.open("wb") as writer:
            shutil.copyfileobj(reader, writer, 1 << 20)
            os.fsync(writer.fileno())

    seconds = _time(copy)
    target.unlink()
    return seconds


def _time(work: Any) -> float:
    os.sync()  # else the time to write what earlier commands left would count
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _keep_to_one_core() -> None:
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def _format_line(result: dict[str, Any]) -> str:
    bar, plain = result["bar"], result["rows_per_second_the_plain_way"] or ""
    met = f"{bar:,}: {'met' if result['rows_per_second'] >= bar else 'missed'}" if bar else ""
    case = f"{result['source']} → {result['target']} | {result['fields']} | {result['case']} | {result['place']}"
    return (
        f"| {case} | {result['rows_per_second']:,} | {met} | {plain and format(plain, ',')} | "
        f"{result['rows']:,} | {result['seconds']} | {result['seconds_of_fifty_rows']} | "
        f"{result['seconds_of_plain_copy']} |"
    )


if __name__ == "__main__":
    main()
