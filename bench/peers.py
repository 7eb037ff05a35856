"""The other ways to the same table, each written plainly: what the engine is measured beside.

All take clip paths, the model's bytes and the number of threads, and return the (mean, variance) of every clip, so that
a benchmark can check that it compares like with like.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import av
import numpy as np
import onnxruntime
from numpy.typing import NDArray

from saliency_engine import reference

FRAMES = 8
Result = tuple[float, float]


def session(model: bytes, threads: int) -> onnxruntime.InferenceSession:
    """A plain CPU session, as a script would make it."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def row_at_a_time(clips: Iterable[Path], model: bytes, threads: int, size: tuple[int, int] | None) -> list[Result]:
    """A script's way: per clip the first frames decoded to raw planes, a new session, frame by frame, numpy.

    ``size`` is (width, height) to resize to, ``None`` for the clip's own (which the students take where the height is a
    multiple of 8).
    """
    results = []
    for clip in clips:
        frames = [_normalized(frame) for frame in _head(clip, size)]
        own = session(model, threads)
        maps = np.stack([own.run(None, {"input": frame})[0][0, 0] for frame in frames])
        result = np.clip(maps.astype(np.float64).mean(axis=0), 0.0, 1.0)
        results.append((float(result.mean()), float(result.var())))
    return results


def one_session(clips: Iterable[Path], model: bytes, threads: int, size: tuple[int, int]) -> list[Result]:
    """A library's way: one process, one session for all clips, a frame at a time, no overlap."""
    shared = session(model, threads)
    results = []
    for clip in clips:
        maps = [shared.run(None, {"input": _normalized(frame)})[0][0, 0] for frame in _head(clip, size)]
        result = np.clip(np.stack(maps).astype(np.float64).mean(axis=0), 0.0, 1.0)
        results.append((float(result.mean()), float(result.var())))
    return results


def bare_model(frames: int, model: bytes, threads: int, size: tuple[int, int]) -> None:
    """The limit: the session run in a loop on a ready tensor, nothing else."""
    shared = session(model, threads)
    tensor = np.random.default_rng(0).standard_normal((1, 3, size[1], size[0])).astype(np.float32)
    for _ in range(frames):
        shared.run(None, {"input": tensor})


def _head(clip: Path, size: tuple[int, int] | None) -> Iterator[av.VideoFrame]:
    with av.open(str(clip)) as container:
        for index, frame in enumerate(container.decode(video=0)):
            if index == FRAMES:
                return
            width, height = size or (frame.width, frame.height)
            yield frame.reformat(width, height, "yuv420p", interpolation="BILINEAR", threads=1)


def _normalized(frame: av.VideoFrame) -> NDArray[np.float32]:
    """8-bit 4:2:0 BT.709 limited to the model's input, chroma repeated, in numpy."""
    y, u, v = (
        np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, -1)[:, : plane.width].astype(np.float32)
        for plane in frame.planes
    )
    u, v = (np.repeat(np.repeat(chroma, 2, 0), 2, 1)[: frame.height, : frame.width] for chroma in (u, v))
    luma, cb, cr = (y - 16.0) / 219.0, (u - 128.0) / 224.0, (v - 128.0) / 224.0
    rgb = np.stack([luma + 1.5748 * cr, luma - 0.18732427 * cb - 0.46812427 * cr, luma + 1.8556 * cb])
    return reference.normalize(np.clip(rgb, 0.0, 1.0)[None])
