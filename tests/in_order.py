"""What uniform sampling must give: the frames of a clip decoded in order from its start, by plain PyAV."""

from __future__ import annotations

import itertools
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from saliency_engine.config import RunConfig
from saliency_engine.errors import ClipError
from saliency_engine.types import ClipRequest, DecodeSpec, decode_spec
from saliency_engine.video.decode import decode_frames
from saliency_engine.video.picture import Picture, Scaler
from saliency_engine.video.timeline import indices_by_count, indices_by_time

SAMPLES = 11
SPEC = decode_spec(
    RunConfig(model="frequency_tuned_v1", sampling="uniform", frame_samples=SAMPLES, accept_short=True, color="bt709"),
    *(48, 32),
)
Frames = NDArray[np.uint16]


def decoded_in_order(path: Path) -> list[av.VideoFrame]:
    """Every frame that a player shows; errors before the first one are passed over."""
    frames: list[av.VideoFrame] = []
    with av.open(str(path)) as container:
        container.flags &= ~1  # PyAV's own default invents times
        stream = container.streams.best("video")
        assert isinstance(stream, av.VideoStream)
        stream.thread_type = "NONE"
        for packet in container.demux(stream):
            try:
                frames += packet.decode()
            except av.FFmpegError:
                if frames or packet.is_keyframe:
                    raise
    return frames


def painted(frames: list[av.VideoFrame], spec: DecodeSpec) -> Frames:
    out, scaler = np.zeros((len(frames), *spec.shape[1:]), np.uint16), Scaler()
    for place, frame in enumerate(frames):
        Picture.of(frame, scaler, spec.color).paint(scaler, out[place])
    return out


def samples_of(frames: list[av.VideoFrame]) -> list[list[int]]:
    """What may be sampled of frames decoded in order: by their times where these increase, and by their number."""
    by_count = indices_by_count(len(frames), SAMPLES)
    pts = [frame.pts for frame in frames if frame.pts is not None]
    if len(pts) < len(frames) or any(later <= before for before, later in itertools.pairwise(pts)):
        return [by_count]
    step = sorted(np.diff(pts))[len(pts) // 2 - 1] if len(pts) > 1 else 1
    ends = {pts[-1] + int(length) for length in (frames[-1].duration or step, step)}
    return [by_count, *(indices_by_time(np.array(pts), end, SAMPLES) for end in ends)]


def outcome(path: Path) -> str:
    """``same``, ``differs``, ``refused`` (the reason), or ``unreadable`` for what no decoding in order reads.

    ``unsteady``: decoding in order twice gives two results, because the decoder shows what memory held before.
    """
    try:
        if not (frames := decoded_in_order(path)):
            return "unreadable"
        expected = [painted([frames[index] for index in indices], SPEC) for indices in samples_of(frames)]
    except (av.FFmpegError, AssertionError, AttributeError, ValueError, ClipError):
        return "unreadable"
    try:
        got, _ = decode_frames(ClipRequest(str(path), path.stat().st_size, 0), SPEC)
    except ClipError as error:
        return f"refused: {error}"
    if any(np.array_equal(got, frames) for frames in expected):
        return "same"
    again = decoded_in_order(path)
    steady = all(
        np.array_equal(painted([again[index] for index in indices], SPEC), frames)
        for indices, frames in zip(samples_of(again), expected, strict=True)
    )
    return "differs" if steady else "unsteady"
