"""Clips written on the spot: in any container, codec, size and tag that a test asks for."""

from __future__ import annotations

import os
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol, TypedDict, Unpack

import av
import numpy as np
from av.container import OutputContainer
from numpy.typing import NDArray

_Y4M_TAGS = {
    "yuv420p": "420jpeg",
    "yuv422p": "422",
    "yuv444p": "444",
    "gray": "mono",
    "yuv420p10le": "420p10",
    "yuv422p10le": "422p10",
    "yuv444p12le": "444p12",
}


class Settings(TypedDict, total=False):
    """How a clip is encoded."""

    size: tuple[int, int]
    """(width, height); by default the size of the frames."""
    codec: str
    """By default ``libx264``."""
    pix_fmt: str
    """By default ``yuv420p``."""
    rate: int
    """Frames per second, by default 25."""
    pts: Sequence[int]
    """Frame times in units of 1/``rate``, by default 0, 1, 2 …"""
    gop: int
    """Frames from one keyframe to the next; by default the encoder decides."""
    options: dict[str, str]
    """Of the encoder."""
    colorspace: int
    """H.273's number (1: BT.709); by default there is no tag."""
    color_range: int
    """FFmpeg's number (1: limited, 2: full); by default there is no tag."""
    color_trc: int
    """H.273's number (16: PQ, 18: HLG); by default there is no tag."""
    color_primaries: int
    """H.273's number (1: BT.709, 9: BT.2020); by default there is no tag."""
    rotation: int
    """Degrees, counter-clockwise, a multiple of 90, by which a player is told to turn the picture."""
    hflip: bool
    """Whether a player is told to mirror the picture."""
    sample_aspect_ratio: Fraction
    """How wide a pixel is shown, in its heights; by default there is no tag."""


class Encode(Protocol):
    """Writes a clip and returns its path; the suffix of ``name`` chooses the container.

    ``source`` is a key of the fixture ``clips``, whose first ``frames`` frames are taken: then the clip is written once
    per session. Or it is frames of one's own.
    """

    def __call__(
        self,
        name: str,
        *,
        source: str | Sequence[av.VideoFrame] = "bikes",
        frames: int = 12,
        **settings: Unpack[Settings],
    ) -> Path: ...


def write_clip(path: Path, frames: Sequence[av.VideoFrame], **settings: Unpack[Settings]) -> None:
    """Write ``frames`` as raw video (``.yuv``, ``.y4m``) or encoded, as the suffix says."""
    width, height = settings.get("size", (frames[0].width, frames[0].height))
    form = settings.get("pix_fmt", "yuv420p")
    # threads=1: libswscale's threads now and then (1 conversion in 6000) leave stale samples behind.
    scaled = [frame.reformat(width, height, form, interpolation="BICUBIC", threads=1) for frame in frames]
    if path.suffix not in {".yuv", ".y4m"}:
        _encode(path, scaled, settings)
        return
    header, mark = b"", b""
    if path.suffix == ".y4m":
        rate = settings.get("rate", 25)
        header, mark = f"YUV4MPEG2 W{width} H{height} F{rate}:1 Ip A1:1 C{_Y4M_TAGS[form]}\n".encode(), b"FRAME\n"
    path.write_bytes(header + b"".join(mark + plane_bytes(frame) for frame in scaled))


def _encode(path: Path, frames: Sequence[av.VideoFrame], settings: Settings) -> None:
    os.environ.setdefault("SVT_LOG", "1")  # else the AV1 encoder talks on stderr
    codec, rate = settings.get("codec", "libx264"), settings.get("rate", 25)
    options = dict(settings.get("options", {}))
    if codec == "libx265":
        x265 = ["log-level=none:pools=none:frame-threads=1", options.get("x265-params", "")]
        if len(frames) < 3:  # fewer than B-frames delay it by: x265 4.2 then gives decoding times out of unset memory
            x265.append("bframes=0")
        options["x265-params"] = ":".join(filter(None, x265))
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, options=options)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = frames[0].width, frames[0].height, frames[0].format.name
        stream.time_base = stream.codec_context.time_base = Fraction(1, rate)
        if "gop" in settings:
            stream.codec_context.gop_size = settings["gop"]
        for tag in ("colorspace", "color_range", "color_trc", "color_primaries", "sample_aspect_ratio"):
            if tag in settings:
                setattr(stream.codec_context, tag, settings[tag])
        if settings.get("rotation") or settings.get("hflip"):
            stream.set_display_rotation(settings.get("rotation", 0), hflip=settings.get("hflip", False))
        for frame, pts in zip(frames, settings.get("pts", range(len(frames))), strict=True):
            frame.pts, frame.time_base, frame.pict_type = pts, Fraction(1, rate), 0
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    restore_priority()


def restore_priority() -> None:
    """Undo what SVT-AV1 does where root encodes: it gives the process a real-time priority, and so all that it starts.

    Tests ran before everything else on the machine from then on, and other tests, starved, came to their time-outs.
    """
    if hasattr(os, "sched_setscheduler"):
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


def copy_video(path: Path, container: OutputContainer) -> None:
    """The video of ``path`` goes into ``container``, its packets as they are."""
    with av.open(str(path)) as source:
        stream = container.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = stream
                container.mux(packet)


def remuxed(path: Path, target: Path, options: dict[str, str]) -> Path:
    """The video of ``path``, its packets as they are, in the container that ``target``'s suffix names."""
    with av.open(str(target), "w", options=options) as container:
        copy_video(path, container)
    return target


def plane_bytes(frame: av.VideoFrame) -> bytes:
    """The samples of a planar frame without line padding, as raw video files hold them."""
    item = 1 if frame.format.components[0].bits <= 8 else 2
    rows = [np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size) for plane in frame.planes]
    return b"".join(row[:, : plane.width * item].tobytes() for row, plane in zip(rows, frame.planes, strict=True))


def planar_frame(pix_fmt: str, planes: Sequence[NDArray[Any]]) -> av.VideoFrame:
    """A frame from its planes, uint8 or uint16 ``[rows, columns]`` each, luma (or G) first."""
    height, width = planes[0].shape
    frame = av.VideoFrame(width, height, pix_fmt)
    for plane, samples in zip(frame.planes, planes, strict=True):
        padded = np.zeros((plane.height, plane.line_size // samples.itemsize), samples.dtype)
        padded[:, : plane.width] = samples
        plane.update(padded.tobytes())
    return frame
