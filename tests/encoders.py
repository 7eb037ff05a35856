"""Small clips in every codec that FFmpeg writes here, in many containers and groups, and spoiled copies of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeAlias

import av
import numpy as np
from av.codec import Codec
from tests.clips import restore_priority

AnyPacket: TypeAlias = "av.Packet[Any]"
# Suffix: the muxer's name.
CONTAINERS = {
    "mp4": "mp4",
    "mov": "mov",
    "3gp": "3gp",
    "f4v": "f4v",
    "mkv": "matroska",
    "webm": "webm",
    "avi": "avi",
    "ts": "mpegts",
    "mpg": "mpeg",
    "flv": "flv",
    "ogg": "ogg",
    "asf": "asf",
    "mxf": "mxf",
    "nut": "nut",
    "ivf": "ivf",
    "wtv": "wtv",
    "gxf": "gxf",
    "rm": "rm",
    "dv": "dv",
    "gif": "gif",
    "apng": "apng",
    "y4m": "yuv4mpegpipe",
    "h264": "h264",
    "hevc": "hevc",
    "h263": "h263",
    "h261": "h261",
    "m1v": "mpeg1video",
    "m2v": "mpeg2video",
    "m4v": "m4v",
    "obu": "obu",
    "vc2": "dirac",
    "swf": "swf",
    "amv": "amv",
}
GROUPS = {"long": (250, "0"), "deep": (250, "3"), "short": (8, "2"), "open": (12, "3")}
"""Name: frames from one keyframe to the next, B-frames in a row."""
FRAMES, RATE, SIZE = 36, 25, (160, 96)
_SIZES = {"dvvideo": (720, 576), "dnxhd": (256, 128)} | dict.fromkeys(("h261", "h263", "rv10", "rv20"), (352, 288))
_ON_CARDS = re.compile("nvenc|qsv|amf|v4l2m2m|vaapi|vulkan|videotoolbox|mediafoundation")
# libvpx's and SVT's own defaults are minutes for these clips.
_LIBVPX = {"deadline": "realtime", "cpu-used": "8", "lag-in-frames": "16", "auto-alt-ref": "1"}


def encoders() -> list[str]:
    """The names of FFmpeg's video encoders here that need no card."""
    names = []
    for name in sorted(av.codecs_available):
        with suppress(ValueError):
            codec = Codec(name, "w")
            if codec.type == "video" and codec.name == name and not _ON_CARDS.search(name):
                names.append(name)
    return names


def groups_of(codec: str) -> Sequence[str]:
    """The shapes of groups that make a difference to ``codec``: one where every frame stands alone."""
    return ["short"] if Codec(codec, "w").intra_only else list(GROUPS)


def _options(codec: str, group: str) -> dict[str, str]:
    size, between = GROUPS[group]
    options = {"strict": "-2"}
    if codec.startswith("libx264"):
        options |= {
            "preset": "ultrafast",
            "qp": "16",
            "bf": between,
            "x264-params": f"threads=1:keyint={size}:scenecut=0",
        }
        options["x264-params"] += f":min-keyint={size}:open-gop={int(group == 'open')}"
    elif codec == "libx265":
        options |= {"preset": "ultrafast", "x265-params": f"log-level=none:pools=1:frame-threads=1:keyint={size}"}
        options["x265-params"] += f":min-keyint={size}:scenecut=0:open-gop={int(group == 'open')}:bframes={between}"
    elif codec == "libsvtav1":
        options |= {"preset": "12", "svtav1-params": f"keyint={size}:lp=1"}
    elif codec.startswith("libvpx"):
        options |= _LIBVPX
    elif codec in {"mpeg1video", "mpeg2video", "mpeg4"}:
        options["bf"] = between
    elif codec == "dnxhd":
        options["profile"] = "dnxhr_lb"
    return options


def pictures(count: int, width: int, height: int) -> Iterator[av.VideoFrame]:
    """R'G'B' frames, each another one: noise that moves, and a square that grows."""
    background = np.random.default_rng(5).integers(60, 120, (height, width, 3), dtype=np.uint8)
    for index in range(count):
        picture = np.roll(background, (3 * index, 5 * index), (0, 1))
        side = 8 + (min(width, height) - 16) * index // count
        picture[4 : 4 + side, 4 : 4 + side] = (230 - 3 * index, 40 + 4 * index, 30)
        yield av.VideoFrame.from_ndarray(picture, "rgb24")


def write_clip(path: Path, codec: str, group: str) -> bool:
    """Encode ``FRAMES`` frames; whether this codec goes into this container, and anything came of it."""
    formats = [form.name for form in Codec(codec, "w").video_formats or []] or ["yuv420p"]
    form = "yuv422p" if codec == "dnxhd" else "yuv420p" if "yuv420p" in formats else formats[0]
    width, height = _SIZES.get(codec, SIZE)
    try:
        with av.open(str(path), "w", format=CONTAINERS[path.suffix[1:]]) as container:
            stream: Any = container.add_stream(codec, RATE, options=_options(codec, group))
            stream.width, stream.height, stream.pix_fmt = width, height, form
            stream.codec_context.gop_size = GROUPS[group][0]
            for index, picture in enumerate(pictures(FRAMES, width, height)):
                frame = picture.reformat(format=form, threads=1)
                frame.pts, frame.time_base = index, Fraction(1, RATE)
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    except (av.FFmpegError, ValueError, OSError, NotImplementedError):
        path.unlink(missing_ok=True)
        return False
    finally:
        restore_priority()
    return path.exists() and path.stat().st_size > 0


def _copy(source: Path, target: Path, change: Callable[[int, AnyPacket], bool]) -> None:
    """Packets as they are but for what ``change`` does to each, by its number; those are left out that it refuses."""
    with av.open(str(source)) as reader, av.open(str(target), "w", format=CONTAINERS[target.suffix[1:]]) as writer:
        stream = reader.streams.video[0]
        copied = writer.add_stream_from_template(stream)
        for number, packet in enumerate(reader.demux(stream)):
            if packet.dts is not None and change(number, packet):
                packet.stream = copied
                writer.mux(packet)


def cut_before_keyframe(source: Path, target: Path) -> None:
    """Times moved so that frame 5 is at 0, nothing encoded anew: what comes before is decoded and not shown."""

    def shift(_: int, packet: AnyPacket) -> bool:
        move = int(5 / RATE / (packet.time_base or 1))
        packet.pts, packet.dts = (packet.pts or 0) - move, (packet.dts or 0) - move
        return True

    _copy(source, target, shift)


def start_between_keyframes(source: Path, target: Path) -> None:
    """A recording that begins anywhere: the first five packets are gone."""
    _copy(source, target, lambda number, _: number >= 5)


def call_all_keyframes(source: Path, target: Path) -> None:
    """Every packet claims to be a keyframe. Raises ``LookupError`` for NUT, whose muxer ends the process over it."""
    if target.suffix == ".nut":
        raise LookupError(target.suffix)

    def claim(_: int, packet: AnyPacket) -> bool:
        packet.is_keyframe = True
        return True

    _copy(source, target, claim)


def leap(source: Path, target: Path) -> None:
    """The clock is set forward by an hour after half of the packets."""

    def set_clock(number: int, packet: AnyPacket) -> bool:
        move = int(3600 / (packet.time_base or 1)) if number >= FRAMES // 2 else 0
        packet.pts, packet.dts = (packet.pts or 0) + move, (packet.dts or 0) + move
        return True

    _copy(source, target, set_clock)


def join_twice(source: Path, target: Path) -> None:
    """One recording after the other, as ``cat`` does it."""
    target.write_bytes(2 * source.read_bytes())


# What names an index in each container, and a name of the same length that readers pass over.
_INDEXES: Sequence[tuple[str, bytes, bytes]] = (
    *((suffix, b"stss", b"free") for suffix in ("mp4", "mov", "3gp", "f4v")),
    ("avi", b"idx1", b"JUNK"),
    *((suffix, b"\x1c\x53\xbb\x6b", b"\x1c\x53\xbb\x6a") for suffix in ("mkv", "webm")),
    ("flv", b"keyframes", b"keyfromes"),
    ("asf", bytes.fromhex("90080033b1e5cf1189f400a0c90349cb"), bytes(16)),
)


def lose_index(source: Path, target: Path) -> None:
    """The container's index bears a name that nobody looks for. Raises ``LookupError`` where it has none."""
    data = source.read_bytes()
    for suffix, name, other in _INDEXES:
        if source.suffix == f".{suffix}" and name in data:
            at = data.rfind(name)
            target.write_bytes(data[:at] + other + data[at + len(name) :])
            return
    raise LookupError(source.suffix)


SPOILED: dict[str, Callable[[Path, Path], None]] = {
    "cut": cut_before_keyframe,
    "late": start_between_keyframes,
    "claims": call_all_keyframes,
    "leap": leap,
    "twice": join_twice,
    "no index": lose_index,
}


def write_clips(folder: Path, codec: str, suffix: str) -> Iterator[list[Path]]:
    """For every shape of groups that this codec has in this container: a whole clip, and its spoiled copies."""
    for group in groups_of(codec):
        whole = folder / f"{codec}-{group}.{suffix}"
        if not write_clip(whole, codec, group):
            continue
        made = [whole]
        for name, spoil in SPOILED.items():
            spoiled = folder / f"{codec}-{group}-{name}.{suffix}"
            try:
                spoil(whole, spoiled)
            except (av.FFmpegError, ValueError, LookupError, OSError, NotImplementedError):
                continue
            made.append(spoiled)
        yield made
