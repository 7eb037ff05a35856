"""Files of bare planes: their frames are those of a clip that says its own format, or it is said why not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from tests.clips import Encode, plane_bytes
from tests.decoding import decode

from saliency_engine.config import MAX_PIXELS
from saliency_engine.errors import DecodeError
from saliency_engine.types import RawFormat
from saliency_engine.video.frame_sizes import frame_bytes


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv420p10le", "yuv422p", "yuv444p", "gray"])
def test_raw_video_equals_y4m(encode: Encode, pix_fmt: str) -> None:
    size = (321, 179)
    expected, reference = decode(encode("raw.y4m", size=size, frames=5, pix_fmt=pix_fmt), max_frames=5)
    clip, got = decode(encode("raw.yuv", size=size, frames=5, pix_fmt=pix_fmt), RawFormat(*size, pix_fmt), max_frames=5)
    assert clip.motion == expected.motion
    np.testing.assert_array_equal(got, reference)


@pytest.mark.parametrize(("semiplanar", "planar", "shift"), [("nv12", "yuv420p", 0), ("p010le", "yuv420p10le", 6)])
def test_raw_semiplanar_equals_planar(encode: Encode, tmp_path: Path, semiplanar: str, planar: str, shift: int) -> None:
    size, luma, chroma = (321, 179), 321 * 179, 161 * 90
    path = encode("raw.yuv", size=size, frames=5, pix_fmt=planar)
    kind: np.dtype[Any] = np.dtype(np.uint16 if shift else np.uint8)
    samples = np.fromfile(path, kind).reshape(5, -1) << shift
    pairs = samples[:, luma:].reshape(5, 2, chroma).transpose(0, 2, 1).reshape(5, -1)
    other = tmp_path / "raw.yuv"
    np.hstack((samples[:, :luma], pairs)).tofile(other)
    expected, reference = decode(path, RawFormat(*size, planar), max_frames=5)
    clip, got = decode(other, RawFormat(*size, semiplanar), max_frames=5)
    assert clip.motion == expected.motion
    np.testing.assert_array_equal(got, reference)


def test_frame_bytes_is_what_ffmpeg_reads(tmp_path: Path) -> None:
    path = tmp_path / "zeros.yuv"
    path.write_bytes(bytes(200_000))
    for pix_fmt in ("yuv420p", "yuv410p", "yuv444p12le", "nv12", "p010le", "nv24", "gray10le", "yuyv422", "uyvy422"):
        for size in ((64, 48), (33, 17)):
            options = {"video_size": "{}x{}".format(*size), "pixel_format": pix_fmt}
            with av.open(str(path), format="rawvideo", options=options) as container:
                packet = next(container.demux(video=0))
            assert frame_bytes(RawFormat(*size, pix_fmt)) == packet.size, (pix_fmt, size)
    for pix_fmt in ("rgb24", "bgra", "rgb48le", "y210le", "uyyvyy411", "gbrp10le"):
        options = {"video_size": "33x17", "pixel_format": pix_fmt}
        with av.open(str(path), format="rawvideo", options=options) as container:
            assert frame_bytes(RawFormat(33, 17, pix_fmt)) == next(container.demux(video=0)).size, pix_fmt


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (RawFormat(640, 480, "yuv420p"), r"12345 bytes are not a whole .* 640×480 yuv420p frames \(460800 bytes"),
        (RawFormat(64, 48, "yuv421p"), "unknown pixel format 'yuv421p'"),
        (RawFormat(64, 48, "cuda"), "pixel format cuda is not supported"),
        (RawFormat(0, 48, "yuv420p"), "0×48 is not a frame size"),
        (RawFormat(100_000, 50_000, "yuv420p"), f"100000×50000 pixels are refused: --max-pixels allows {MAX_PIXELS}"),
    ],
)
def test_raw_video_that_cannot_be_right(tmp_path: Path, raw: RawFormat, reason: str) -> None:
    path = tmp_path / "clip.yuv"
    path.write_bytes(bytes(12345))
    with pytest.raises(DecodeError, match=reason):
        decode(path, raw)


def test_raw_frames_hold_the_planes_alone(source_frames: Callable[[str, int], list[av.VideoFrame]]) -> None:
    """The writer of raw test clips itself: odd sizes, no padding."""
    frame = source_frames("bikes", 1)[0].reformat(321, 179, "yuv420p", threads=1)
    assert len(plane_bytes(frame)) == frame_bytes(RawFormat(321, 179, "yuv420p"))
