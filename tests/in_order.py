"""What uniform sampling must give: the frames of a clip decoded in order from its start, by plain PyAV."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from saliency_engine.config import RunConfig
from saliency_engine.errors import ClipError
from saliency_engine.types import ClipRequest, decode_spec
from saliency_engine.video.decode import decode_frames
from saliency_engine.video.picture import Picture, Scaler
from saliency_engine.video.timeline import indices_by_count, indices_by_time

SAMPLES = 11
SPEC = decode_spec(
    RunConfig(model="frequency_tuned_v1", sampling="uniform", frame_samples=SAMPLES, accept_short=True, color="bt709"),
    *(48, 32),
)
Frames = NDArray[np.uint16]


def shown_in_order(path: Path) -> Iterator[av.VideoFrame]:
    """Every frame that a player shows; errors before the first one are passed over."""
    some = False
    with av.open(str(path)) as container:
        container.flags &= ~1  # PyAV's own default invents times
        stream = container.streams.best("video")
        assert isinstance(stream, av.VideoStream)
        stream.thread_type = "NONE"
        for packet in container.demux(stream):
            try:
                for frame in packet.decode():
                    some = True
                    yield frame
            except av.FFmpegError:
                if some or packet.is_keyframe:
                    raise


def painted(frames: Iterable[av.VideoFrame], indices: Sequence[int]) -> Frames:
    """The frames at ``indices`` as the engine paints them, ``[len(indices), 3, H, W]``."""
    out, scaler = np.zeros((len(indices), *SPEC.shape[1:]), np.uint16), Scaler()
    places = {index: place for place, index in enumerate(indices)}
    for index, frame in enumerate(frames):
        if index in places:
            Picture.of(frame, SPEC.color).paint(scaler, out[places[index]])
    return out


def end_of_packets(path: Path) -> int:
    """When the last packet's frame would no longer be shown; a last packet may turn out to hold none."""
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size and packet.pts is not None]
    return max((packet.pts + (packet.duration or 0) for packet in packets if packet.pts is not None), default=0)


def samples_of(frames: Sequence[av.VideoFrame], end: int) -> list[list[int]]:
    """What may be sampled of frames decoded in order: by their times where these increase, and by their number.

    ``end`` is when the clip ends by its packets.
    """
    by_count = indices_by_count(len(frames), SAMPLES)
    pts = [frame.pts for frame in frames if frame.pts is not None]
    if len(pts) < len(frames) or any(later <= before for before, later in itertools.pairwise(pts)):
        return [by_count]
    step = sorted(np.diff(pts))[len(pts) // 2 - 1] if len(pts) > 1 else 1
    ends = {end, *(pts[-1] + int(length) for length in (frames[-1].duration or step, step))}
    ends = {one for one in ends if one > pts[-1]}
    return [by_count, *(indices_by_time(np.array(pts), one, SAMPLES) for one in sorted(ends))]


def outcome(path: Path) -> str:
    """``same``, ``differs``, ``refused`` (the reason), or ``unreadable`` for what no decoding in order reads.

    ``unsteady``: decoding in order gives something else when decoded frames are let go at once, so that the decoder
    writes into memory that it has used before. It shows what that memory held where a packet is damaged.
    """
    try:
        frames = list(shown_in_order(path))
        if not frames:
            return "unreadable"
        samples = samples_of(frames, end_of_packets(path))
        expected = [painted(frames, indices) for indices in samples]
    except (av.FFmpegError, AssertionError, AttributeError, ValueError, ClipError):
        return "unreadable"
    try:
        got, _ = decode_frames(ClipRequest(str(path), path.stat().st_size, 0), SPEC)
    except ClipError as error:
        return f"refused: {error}"
    if any(np.array_equal(got, one) for one in expected):
        return "same"
    again = [painted(shown_in_order(path), indices) for indices in samples]
    return "differs" if all(map(np.array_equal, again, expected)) else "unsteady"
