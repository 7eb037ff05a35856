"""Peak memory of a run over long tables: rows that need nothing, and rows that share fifty clips.

    python bench/table_memory.py [--rows 1000000] [--output FOLDER]

The whole command, `saliency-batch run` with frequency_tuned_v1, is run three times on each table. Memory is the
largest sum of the proportional set sizes (PSS) of all its processes, read from /proc some thirty times a second. The
fifty clips are short re-encodings of the four real clips. The bar: a long table may use at most 100 MB more than one
of 1,000 rows.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.inputs import make_clips, make_table
from harness.memory import COMMAND, measure
from harness.results import RESULTS, save

ROUNDS = 3


def main() -> None:
    """Run every case and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder for the JSON file")
    arguments = parser.parse_args()
    results = []
    with tempfile.TemporaryDirectory() as folder:
        clips = make_clips(Path(folder), 50, 320, 240, frames=8)
        print("| format | rows are | 1,000 rows | long table | more | seconds |\n|---|---|---:|---:|---:|---:|")
        for suffix in ("jsonl", "parquet"):
            for case in ("skipped", "shared"):
                few, many = (_measure(Path(folder), suffix, case, rows, clips) for rows in (1000, arguments.rows))
                more = many["peak_mb"] - few["peak_mb"]
                results.append({"format": suffix, "case": case, "few": few, "many": many, "more_mb": round(more, 1)})
                print(_format_line(results[-1]), flush=True)
    save("table_memory", {"results": results}, arguments.output)


def _format_line(result: dict[str, Any]) -> str:
    few, many = result["few"], result["many"]
    return (
        f"| {result['format']} | {result['case']} | {few['peak_mb']} MB | {many['peak_mb']} MB | "
        f"{result['more_mb']:+} MB | {many['seconds']} s |"
    )


def _measure(folder: Path, suffix: str, case: str, rows: int, clips: Sequence[Path]) -> dict[str, float]:
    table, output = folder / f"in.{suffix}", folder / f"out.{suffix}"
    make_table(table, rows, clips, done=case == "skipped")
    command = [*COMMAND, "--input", str(table), "--output", str(output)]
    command += ["--model", "frequency_tuned_v1", "--memo", "off"]
    # The largest of several runs, because the peak of a short run is easily missed between two readings.
    seconds, peak = max((measure(command) for _ in range(ROUNDS)), key=lambda run: run.peak_mb)
    return {"rows": rows, "peak_mb": peak, "seconds": seconds}


if __name__ == "__main__":
    main()
