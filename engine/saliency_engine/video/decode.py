"""One clip in, K upright R'G'B' frames of the model's size out: what a decode worker runs.

Whatever is wrong with a clip, ``decode_clip`` raises nothing but ``DecodeError`` for it.
"""

from __future__ import annotations

import math
import time

import av
import numpy as np
from numpy.typing import NDArray

from saliency_engine.errors import DecodeError
from saliency_engine.facts import Signal
from saliency_engine.types import ClipRequest, DecodedClip, DecodeSpec
from saliency_engine.video import color, sampling
from saliency_engine.video.container import explain, opened
from saliency_engine.video.picture import Picture, Scaler
from saliency_engine.video.transfer import signal_of


def silence() -> None:
    """Keep FFmpeg's messages away from Python: PyAV's logging calls back from FFmpeg's threads, which can deadlock."""
    av.logging.set_level(None)


def ffmpeg_version() -> str:
    """The version of the FFmpeg that decodes, as it prints it: ``8.0.1``, ``n8.1.1-3``, or the name of a commit."""
    return str(av.ffmpeg_version_info)


def decode_clip(request: ClipRequest, spec: DecodeSpec, out: NDArray[np.uint16]) -> DecodedClip:
    """Decode the sampled frames of one clip into ``out``.

    ``out`` is uint16 of ``spec.shape``, C-contiguous; its first ``frames`` entries are written as 16-bit R'G'B'
    (gamma-coded, 65535 is white), the others are undefined. The motion is measured on luma code values scaled to
    8 bits, whatever their range. Raises ``DecodeError`` with a reason for people.
    """
    started = time.perf_counter()
    try:
        motion, times, signal = _decode(request, spec, out)
    except (av.FFmpegError, ValueError, OSError, MemoryError, OverflowError) as error:
        raise DecodeError(f"the clip cannot be decoded: {explain(error)}") from error
    if signal is None:
        raise DecodeError("the file holds no frame that can be decoded")
    return DecodedClip(tuple(motion), tuple(times), time.perf_counter() - started, signal)


def decode_frames(request: ClipRequest, spec: DecodeSpec) -> tuple[NDArray[np.uint16], DecodedClip]:
    """The sampled frames of one clip, ``[frames, 3, height, width]``, in memory of their own; as ``decode_clip``."""
    out = np.zeros(spec.shape, np.uint16)
    decoded = decode_clip(request, spec, out)
    return out[: decoded.frames], decoded


def _decode(
    request: ClipRequest, spec: DecodeSpec, out: NDArray[np.uint16]
) -> tuple[list[float], list[float], Signal | None]:
    scaler = Scaler()
    motion: list[float] = []
    times: list[float] = []
    damaged: list[int] = []
    signal: Signal | None = None
    previous: Picture | None = None
    for place, shown in sampling.select(lambda: opened(request, spec), spec):
        picture = Picture.of(shown.frame, spec.color, shown.crop, spec.hdr)
        picture.paint(scaler, out[place])
        if place == 0 or previous is None:
            motion, times, damaged, signal = [0.0], [], [], signal_of(shown.frame)
        else:
            motion.append(_measure_motion(previous, picture, out[place - 1], out[place]))
        times.append(math.nan if shown.frame.time is None else shown.frame.time)
        if shown.damaged:
            damaged.append(place + 1)
        previous = picture
    if damaged:
        which = ", ".join(map(str, damaged))
        raise DecodeError(f"{len(damaged)} of the {len(motion)} sampled frames are damaged: number {which}")
    return motion, times, signal


def _measure_motion(
    before: Picture, after: Picture, rgb_before: NDArray[np.uint16], rgb_after: NDArray[np.uint16]
) -> float:
    """mean|Y_t − Y_(t−1)| / 255 at the clip's own size, or at the model's where size or format changed."""
    width, height = after.frame.width, after.frame.height
    if before.layout != after.layout or (before.frame.width, before.frame.height) != (width, height):
        weights = np.array([0.2126, 0.7152, 0.0722], np.float32)
        return float(np.abs(np.tensordot(weights, rgb_after.astype(np.float32) - rgb_before, 1)).mean() / color.WHITE)
    total = color.absolute_difference(before.luma(), after.luma(), width)
    return total / (width * height * 255 << after.layout.depth - 8)
