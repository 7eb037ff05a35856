"""What one clip is: what its container and its first frame tell. As untrusted as decoding: for decode workers only."""

from __future__ import annotations

from dataclasses import dataclass

import av

from saliency_engine.errors import DecodeError
from saliency_engine.facts import ClipFacts, ProbeSpec
from saliency_engine.types import ClipRequest
from saliency_engine.video.container import OpenClip, opened
from saliency_engine.video.demuxer import explain
from saliency_engine.video.dolby_vision import check_frame
from saliency_engine.video.frame_sizes import frame_bytes
from saliency_engine.video.frames import read_frames, read_packets
from saliency_engine.video.picture import orientation_of
from saliency_engine.video.transfer import depth_of_format, transfer_of


def probe_clip(request: ClipRequest, spec: ProbeSpec) -> ClipFacts:
    """What is known of a clip without decoding more than its first frame.

    Its packets are read where frames have to be counted, which reads the file to its end. Raises ``DecodeError`` with a
    reason for people where no frame can be decoded, or the clip is cut off where it was counted.
    """
    try:
        with opened(request, spec) as clip:
            shown = next(read_frames(clip))
            if spec.color == "auto":
                check_frame(shown.frame)
            frame, stated, duration, rate = shown.frame, clip.stream.frames, _stated_seconds(clip), _stated_rate(clip)
            codec = clip.codec.canonical_name
        source = "stated" if stated > 0 and not spec.count_frames else "counted"
        if request.raw is not None:  # its size is checked to be that of whole frames; nothing tells their rate
            stated, source, duration, rate = request.size // frame_bytes(request.raw), "counted", None, None
        elif source == "counted":
            counted = _count(request, spec)
            stated, duration = counted.frames, counted.seconds or duration
    except (av.FFmpegError, ValueError, OSError, MemoryError, OverflowError) as error:
        raise DecodeError(f"the clip cannot be decoded: {explain(error)}") from error
    swapped, flips_rows, flips_columns = orientation_of(frame)
    return ClipFacts(
        width=frame.width,
        height=frame.height,
        frames=stated,
        frames_source=source,
        frame_rate=rate,
        duration=duration,
        codec=codec,
        pix_fmt=frame.format.name,
        bit_depth=depth_of_format(frame.format),
        transfer=transfer_of(frame),
        rotation=(90 if flips_columns else 270) if swapped else 180 if flips_rows else 0,
        file_bytes=request.size,
    )


def _stated_rate(clip: OpenClip) -> float | None:
    rate = clip.stream.average_rate or clip.stream.guessed_rate
    return float(rate) if rate else None


def _stated_seconds(clip: OpenClip) -> float | None:
    if clip.stream.duration and clip.stream.time_base:
        return float(clip.stream.duration * clip.stream.time_base)
    return clip.container.duration / av.time_base if clip.container.duration else None


@dataclass
class _Counted:
    frames: int = 0
    seconds: float | None = None
    """From the first frame's time to the end of the last one; ``None`` where packets have no times."""


def _count(request: ClipRequest, spec: ProbeSpec) -> _Counted:
    counted = _Counted()
    first = end = None
    with opened(request, spec) as clip:
        for packet in read_packets(clip):
            if not packet.size or packet.is_discard:  # decoded, but not shown
                continue
            counted.frames += 1
            if packet.pts is not None:
                first = packet.pts if first is None else min(first, packet.pts)
                end = max(packet.pts + (packet.duration or 0), packet.pts if end is None else end)
        if first is not None and end is not None and end > first and clip.stream.time_base:
            counted.seconds = float((end - first) * clip.stream.time_base)
    return counted
