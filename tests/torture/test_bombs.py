"""Small files that ask for much memory are refused before it is allocated, whatever container they come in."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest
from av.container import OutputContainer
from tests.clips import Encode
from tests.torture.conftest import Record, times

MIB = 1 << 20
# Runs in a process of its own, which decodes a good clip first; prints seconds, growth of the peak and outcome.
MEASURE = """
import json, resource, sys, time
import numpy as np
from saliency_engine.video.decode import decode_clip, silence
from saliency_engine.config import RunConfig
from saliency_engine.errors import DecodeError
from saliency_engine.types import ClipRequest, RawFormat, decode_spec

def decode(path, sampling):
    spec = decode_spec(RunConfig(model="frequency_tuned_v1", sampling=sampling), 320, 320)
    raw = RawFormat(2, 2, "yuv420p") if path.endswith(".yuv") else None
    try:
        return f"{decode_clip(ClipRequest(path, 0, 0, raw), spec, np.zeros((8, 3, 320, 320), np.uint16)).frames} frames"
    except DecodeError as error:
        return str(error)

silence()
good, path, sampling = sys.argv[1:]
decode(good, sampling)
before = resource.getrusage(resource.RUSAGE_SELF)
wall = time.monotonic()
outcome = decode(path, sampling)
wall = time.monotonic() - wall
after = resource.getrusage(resource.RUSAGE_SELF)
seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
grown = (after.ru_maxrss - before.ru_maxrss) / 1024
figures = {"wall_seconds": round(wall, 2), "cpu_seconds": round(seconds, 2), "mib": round(grown), "told": outcome}
print(json.dumps(figures))
"""
SMALL = {"preset": "ultrafast", "x264-params": "threads=1:sliced-threads=0:rc-lookahead=0:sync-lookahead=0", "bf": "0"}


def measure(good: Path, path: Path, sampling: str) -> dict[str, Any]:
    command = [sys.executable, "-c", MEASURE, str(good), str(path), sampling]
    done = subprocess.run(command, capture_output=True, check=True, timeout=300)
    figures: dict[str, Any] = json.loads(done.stdout)
    return figures


def black(width: int, height: int, count: int, target: Path) -> Path:
    """Raw H.264 of black frames."""
    with av.open(str(target), "w", format="h264") as container:
        stream = container.add_stream("libx264", rate=25, options=SMALL)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        frame = av.VideoFrame(width, height, "yuv420p")
        for plane, code in zip(frame.planes, (16, 128, 128), strict=True):
            plane.update(bytes([code]) * plane.buffer_size)
        for index in range(count):
            frame.pts, frame.time_base = index, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return target


def remux_raw(path: Path, target: Path, form: str) -> Path:
    """Raw H.264 in a container, without a decoder seeing it."""
    options = {"codec_whitelist": "none"}
    with av.open(str(path), options=options) as source, av.open(str(target), "w", format=form) as container:
        stream = container.add_stream_from_template(source.streams.video[0])
        for index, packet in enumerate(packet for packet in source.demux(video=0) if packet.size):
            packet.pts = packet.dts = index * 3600
            packet.time_base, packet.stream = Fraction(1, 90000), stream
            container.mux(packet)
    return target


CONTAINERS = {"mp4": "mp4", "mkv": "matroska", "ts": "mpegts", "flv": "flv", "mpg": "mpeg", "avi": "avi"}


def gif(side: int) -> bytes:
    """The smallest whole GIF there is; an extension makes it 43 bytes long."""
    head = struct.pack("<6sHH3s6s", b"GIF89a", side, side, b"\x80\x00\x00", bytes(6))
    control = b"\x21\xf9\x04\x01\x00\x00\x00\x00"
    return head + control + struct.pack("<cHHHHBB", b",", 0, 0, side, side, 0, 2) + b"\x02\x4c\x01\x00\x3b"


def test_frames_too_large_are_refused_before_they_are_allocated(
    clips: dict[str, Path], tmp_path: Path, record: Record
) -> None:
    large = black(16000, 8000, 12, tmp_path / "large.h264")
    growing = tmp_path / "growing.h264"
    growing.write_bytes(black(320, 240, 3, tmp_path / "few.h264").read_bytes() + large.read_bytes())
    late = tmp_path / "late.h264"
    late.write_bytes(black(320, 240, 80, tmp_path / "many.h264").read_bytes() + large.read_bytes())
    bombs = [large, growing, late]
    bombs += [
        remux_raw(raw, tmp_path / f"{raw.stem}.{suffix}", form)
        for raw in (large, growing, late)
        for suffix, form in CONTAINERS.items()
    ]
    small = tmp_path / "bomb.gif"
    small.write_bytes(gif(16000))
    assert small.stat().st_size == 43
    figures = {}
    for bomb in [small, *bombs]:
        for sampling in ("head", "uniform"):
            figure = figures[f"{bomb.name} {sampling}"] = measure(clips["bikes"], bomb, sampling)
            if bomb.stem != "late" or sampling == "uniform":
                assert "--max-pixels" in figure["told"], (bomb.name, figure)
    largest = max(figure["mib"] for figure in figures.values())
    longest = max(figure["cpu_seconds"] for figure in figures.values())
    record("08-bombs-pixels", largest_mib=largest, longest_cpu_seconds=longest, **figures)
    assert largest <= 256
    assert longest <= 2.0


def _flooded(target: Path, form: str, codec: str, count: int) -> Path:
    """A clip of ``count`` frames, which all repeat one keyframe."""
    first = target.with_suffix(".first")
    with av.open(str(first), "w", format="matroska") as container:
        stream = container.add_stream(codec, rate=25)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        container.mux(stream.encode(av.VideoFrame(32, 32, "yuv420p")))
        container.mux(stream.encode(None))
    with av.open(str(first)) as source, av.open(str(target), "w", format=form) as container:
        data = bytes(next(packet for packet in source.demux(video=0) if packet.size))
        _repeat(container, source.streams.video[0], data, count)
    return target


def _repeat(container: OutputContainer, template: av.VideoStream, data: bytes, count: int) -> None:
    stream = container.add_stream_from_template(template)
    for index in range(count):
        packet = av.Packet(data)
        packet.pts = packet.dts = index
        packet.time_base, packet.stream, packet.duration, packet.is_keyframe = Fraction(1, 25), stream, 1, True
        container.mux(packet)


def _floods(folder: Path, count: int) -> Iterator[Path]:
    yield _flooded(folder / "frames.mp4", "mp4", "mpeg4", count)
    yield _flooded(folder / "frames.mkv", "matroska", "mpeg4", count)
    yield _flooded(folder / "frames.ts", "mpegts", "mpeg2video", count)
    yield _flooded(folder / "frames.avi", "avi", "mpeg4", count)
    raw, y4m, picture = folder / "frames.yuv", folder / "frames.y4m", gif(16)
    raw.write_bytes(bytes(6 * count))
    yield raw
    y4m.write_bytes(b"YUV4MPEG2 W2 H2 F25:1 Ip A1:1 C420jpeg\n" + (b"FRAME\n" + bytes(6)) * count)
    yield y4m
    frames = folder / "frames.gif"
    frames.write_bytes(picture[:19] + picture[19:-1] * count + b"\x3b")
    yield frames


def test_a_million_frames_are_refused_or_sampled_in_little_memory(
    clips: dict[str, Path], tmp_path: Path, record: Record
) -> None:
    count = max(times(1_000_000), 600_000)
    figures = {}
    for flood in _floods(tmp_path, count):
        for sampling in ("head", "uniform"):
            figure = figures[f"{flood.name} {sampling}"] = measure(clips["bikes"], flood, sampling)
            expected = "8 frames" if sampling == "head" else "more than 432000 frames"
            assert expected in figure["told"], (flood.name, figure)
        flood.unlink()
    largest = max(figure["mib"] for figure in figures.values())
    longest = max(figure["cpu_seconds"] for figure in figures.values())
    record("08-bombs-frames", frames=count, largest_mib=largest, longest_cpu_seconds=longest, **figures)
    assert largest <= 256
    assert longest <= 2


@pytest.mark.parametrize("sampling", ["head", "uniform"])
def test_every_frame_is_resized_from_its_own_size(
    encode: Encode, tmp_path: Path, record: Record, sampling: str
) -> None:
    """Sizes change at every keyframe: the frames are those of a clip of one size, but for what the encoder loses."""
    import numpy as np

    from saliency_engine.config import RunConfig
    from saliency_engine.types import ClipRequest, decode_spec
    from saliency_engine.video.decode import decode_clip

    sizes = [(320, 136), (640, 272), (160, 68), (854, 362), (480, 204)] * 4
    path = tmp_path / "changing.h264"
    path.write_bytes(b"".join(encode("part.h264", size=size, frames=4).read_bytes() for size in sizes))
    options: dict[str, Any] = {"sampling": sampling, "max_frames": 80, "frame_samples": 80}
    spec = decode_spec(RunConfig(model="frequency_tuned_v1", **options), 160, 68)
    out = np.zeros((80, 3, 68, 160), np.uint16)
    assert decode_clip(ClipRequest(str(path), 0, 0), spec, out).frames == 80
    pictures = out.reshape(20, 4, *out.shape[1:]).astype(np.float64) / 257
    differences = np.abs(pictures - pictures[1]).mean(axis=(1, 2, 3, 4))
    record(f"08-sizes-{sampling}", changes=len(sizes), largest_mean_difference=round(float(differences.max()), 2))
    assert differences.max() < 6
