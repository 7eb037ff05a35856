"""One clip in, K upright R'G'B' frames of the model's size out: what a decode worker runs.

Whatever is wrong with a clip, ``decode_clip`` raises nothing but ``DecodeError`` for it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager

import av
import numpy as np
from numpy.typing import NDArray

from saliency_engine.errors import DecodeError
from saliency_engine.extras import Measured
from saliency_engine.facts import Signal
from saliency_engine.types import ClipRequest, DecodedClip, DecodeSpec
from saliency_engine.video import sampling
from saliency_engine.video.container import opened
from saliency_engine.video.demuxer import explain
from saliency_engine.video.luma import LumaMeter
from saliency_engine.video.motion import SampledFrames
from saliency_engine.video.picture import Picture
from saliency_engine.video.shots import measure_shots
from saliency_engine.video.transfer import signal_of


def silence() -> None:
    """Keep FFmpeg's messages away from Python: PyAV's logging calls back from FFmpeg's threads, which can deadlock."""
    av.logging.set_level(None)


def ffmpeg_version() -> str:
    """The version of the FFmpeg that decodes, as it prints it: ``8.0.1``, ``n8.1.1-3``, or the name of a commit."""
    return str(av.ffmpeg_version_info)


def decode_clip(request: ClipRequest, spec: DecodeSpec, out: NDArray[np.uint16]) -> DecodedClip:
    """Decode the sampled frames of one clip into ``out``.

    ``out`` is uint16 of ``spec.shape``, C-contiguous; its first ``inferred`` entries are written as 16-bit R'G'B'
    (gamma-coded, 65535 is white), the others are undefined. The motion is measured on luma code values scaled to
    8 bits, whatever their range. What ``request.extra`` asks for is measured, too. Raises ``DecodeError`` with a reason
    for people.
    """
    started = time.perf_counter()
    sampled, meter = SampledFrames(out, spec.reuse), LumaMeter(request.extra)
    with _explained():
        times, signal = _decode(request, spec, sampled, meter)
    if signal is None:
        raise DecodeError("the file holds no frame that can be decoded")
    extras = Measured(meter.values()) | _measure_whole(request, spec)
    motion, map_of = tuple(sampled.motion), tuple(sampled.map_of)
    return DecodedClip(motion, tuple(times), map_of, time.perf_counter() - started, signal, extras)


def decode_frames(request: ClipRequest, spec: DecodeSpec) -> tuple[NDArray[np.uint16], DecodedClip]:
    """The frames of one clip that the model gets, ``[inferred, 3, height, width]``; as ``decode_clip``."""
    out = np.zeros(spec.shape, np.uint16)
    decoded = decode_clip(request, spec, out)
    return out[: decoded.inferred], decoded


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except (av.FFmpegError, ValueError, OSError, MemoryError, OverflowError) as error:
        raise DecodeError(f"the clip cannot be decoded: {explain(error)}") from error


def _measure_whole(request: ClipRequest, spec: DecodeSpec) -> Measured:
    """What the whole clip must be decoded for. Its sample is good: where other frames are not, only this is lacking."""
    if "shots" not in request.extra:
        return Measured()
    try:
        with _explained():
            return Measured(measure_shots(lambda: opened(request, spec), spec))
    except DecodeError as error:
        if isinstance(error.__cause__, MemoryError):
            raise
        return Measured(lacks={"shots": str(error)})


def _decode(
    request: ClipRequest, spec: DecodeSpec, sampled: SampledFrames, meter: LumaMeter
) -> tuple[list[float], Signal | None]:
    times: list[float] = []
    damaged: list[int] = []
    signal: Signal | None = None
    for place, shown in sampling.select(lambda: opened(request, spec), spec):
        picture = Picture.of(shown.frame, spec.color, shown.crop, spec.hdr)
        if place == 0 or signal is None:
            times, damaged, signal = [], [], signal_of(shown.frame)
            sampled.restart()
            meter.restart()
        sampled.add(picture)
        times.append(math.nan if shown.frame.time is None else shown.frame.time)
        meter.add(picture)
        if shown.damaged:
            damaged.append(place + 1)
    if damaged:
        which = ", ".join(map(str, damaged))
        raise DecodeError(f"{len(damaged)} of the {len(times)} sampled frames are damaged: number {which}")
    return times, signal
