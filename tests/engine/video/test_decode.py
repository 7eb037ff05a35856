"""Clips of every kind into frames."""

from __future__ import annotations

import gc
import shutil
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from tests.clips import Encode, planar_frame
from tests.decoding import decode

from saliency_engine.errors import DecodeError
from saliency_engine.samplings import Head
from saliency_engine.types import ClipRequest, DecodeSpec, RawFormat
from saliency_engine.video.decode import decode_clip
from saliency_engine.video.frame_sizes import frame_bytes

KINDS: dict[str, dict[str, Any]] = {
    "h264.mp4": {},
    "h264.mkv": {},
    "h264.ts": {},
    "h264.avi": {},
    "h264.h264": {},
    "hevc.mp4": {"codec": "libx265"},
    "vp9.webm": {"codec": "libvpx-vp9", "options": {"deadline": "realtime", "cpu-used": "8"}},
    "av1.mkv": {"codec": "libsvtav1", "options": {"preset": "12"}},
    "mpeg4.avi": {"codec": "mpeg4"},
    "mpeg2.ts": {"codec": "mpeg2video"},
    "mjpeg.avi": {"codec": "mjpeg", "pix_fmt": "yuvj420p", "color_range": 2},
    "prores.mov": {"codec": "prores_ks", "pix_fmt": "yuv422p10le"},
    "ffv1.mkv": {"codec": "ffv1", "pix_fmt": "bgr0"},
    "deep-rgb.mkv": {"codec": "ffv1", "pix_fmt": "gbrp12le"},
    "tenbit.mp4": {"pix_fmt": "yuv420p10le"},
    "tenbit-hevc.mkv": {"codec": "libx265", "pix_fmt": "yuv420p10le"},
    "twelvebit.mp4": {"codec": "libx265", "pix_fmt": "yuv420p12le"},
    "422.mp4": {"pix_fmt": "yuv422p"},
    "444.mp4": {"pix_fmt": "yuv444p10le"},
    "nv12.mkv": {"codec": "rawvideo", "pix_fmt": "nv12"},
    "plain.y4m": {},
    "deep.y4m": {"pix_fmt": "yuv420p10le"},
    "odd.mp4": {"size": (853, 479), "codec": "libvpx-vp9", "options": {"deadline": "realtime", "cpu-used": "8"}},
    "tiny.mp4": {"size": (64, 48)},
    "qhd.mp4": {"size": (960, 540)},
    "portrait.mp4": {"size": (270, 480)},
}


@pytest.fixture(scope="module")
def expected_mean(clips: dict[str, Path]) -> NDArray[np.float64]:
    """Mean colour of the source clip's first frames."""
    _, frames = decode(clips["bikes"])
    mean: NDArray[np.float64] = frames.mean(axis=(0, 1, 2))
    return mean


@pytest.mark.parametrize("sampling", ["head", "uniform"])
@pytest.mark.parametrize("name", KINDS)
def test_any_codec_container_and_geometry(
    encode: Encode, expected_mean: NDArray[np.float64], name: str, sampling: str
) -> None:
    clip, frames = decode(encode(name, **KINDS[name]), sampling=sampling)
    assert clip.frames == 8
    assert clip.motion[0] == 0.0
    assert all(0.001 < motion < 0.05 for motion in clip.motion[1:])
    assert 0 < clip.seconds < 60
    assert np.abs(frames.mean(axis=(0, 1, 2)) - expected_mean).max() < 4


def test_gray_clip_is_gray(encode: Encode) -> None:
    for codec in ("libx264", "libx265"):
        _, frames = decode(encode("gray.mkv", codec=codec, pix_fmt="gray"))
        assert np.ptp(frames, axis=-1).max() < 0.01  # one 16-bit level, where rounding is a tie
        assert 100 < frames.mean() < 160


def test_gif_is_a_clip(encode: Encode) -> None:
    clip, frames = decode(encode("clip.gif", codec="gif", pix_fmt="rgb8"))
    assert clip.frames == 8
    assert 100 < frames.mean() < 160


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_rotated_clip_equals_upright(
    encode: Encode, source_frames: Callable[[str, int], list[av.VideoFrame]], rotation: int, mirrored: bool
) -> None:
    upright = [frame.reformat(480, 272, "yuv444p", threads=1) for frame in source_frames("bikes", 4)]
    stored = []
    for frame in upright:
        planes = [np.frombuffer(memoryview(plane), np.uint8).reshape(272, -1)[:, :480] for plane in frame.planes]
        turned = [np.rot90(plane[:, ::-1] if mirrored else plane, -rotation // 90) for plane in planes]
        stored.append(planar_frame("yuv444p", turned))
    options = {"qp": "0"}
    plain = encode("upright.mp4", source=upright, pix_fmt="yuv444p", options=options)
    turned_clip = encode(
        "turned.mp4", source=stored, pix_fmt="yuv444p", options=options, rotation=rotation, hflip=mirrored
    )
    for width, height in ((320, 320), (240, 400), (480, 272)):
        expected, reference = decode(plain, width=width, height=height, accept_short=True)
        clip, frames = decode(turned_clip, width=width, height=height, accept_short=True)
        assert np.abs(frames - reference).max() <= 0.5
        assert np.abs(frames - reference).mean() < 0.01
        np.testing.assert_allclose(clip.motion, expected.motion, rtol=1e-12)


def test_motion_is_mean_luma_difference(source_frames: Callable[[str, int], list[av.VideoFrame]], clips: Any) -> None:
    clip, _ = decode(clips["bikes"])
    luma = [
        np.frombuffer(memoryview(frame.planes[0]), np.uint8).reshape(frame.height, -1)[:, : frame.width].astype(float)
        for frame in source_frames("bikes", 8)
    ]
    expected = [0.0] + [np.abs(after - before).mean() / 255 for before, after in pairwise(luma)]
    np.testing.assert_allclose(clip.motion, expected, rtol=1e-12)


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv420p10le", "yuv444p12le"])
def test_motion_of_deep_luma_is_in_8_bit_units(tmp_path: Path, pix_fmt: str) -> None:
    path = tmp_path / "step.yuv"
    depth = int(pix_fmt.rpartition("p")[2].removesuffix("le") or 8)
    raw = RawFormat(64, 48, pix_fmt)
    item = 1 if depth == 8 else 2
    frames = [bytes(frame_bytes(raw)), (51 << depth - 8).to_bytes(item, "little") * (frame_bytes(raw) // item)]
    path.write_bytes(b"".join(frames))
    clip, _ = decode(path, raw, accept_short=True)
    assert clip.motion == pytest.approx((0.0, 51 / 255), rel=1e-12)


def test_size_change_in_mid_stream(encode: Encode, tmp_path: Path) -> None:
    path = tmp_path / "changing.h264"
    sizes = [(640, 272), (320, 240), (854, 480)]
    path.write_bytes(b"".join(encode("part.h264", size=size, frames=4).read_bytes() for size in sizes))
    clip, frames = decode(path, max_frames=12, frame_samples=12)
    assert clip.frames == 12
    for part in range(1, 3):
        first, again = frames[0], frames[4 * part]
        assert np.abs(first - again).mean() < 4
    assert all(0 <= motion < 0.1 for motion in clip.motion)


@pytest.mark.parametrize("name", [*KINDS, "mpeg2.mpg", "h264.flv", "clip.gif"])
def test_frames_that_are_too_large_are_refused(encode: Encode, name: str) -> None:
    made: dict[str, dict[str, Any]] = {
        "mpeg2.mpg": {"codec": "mpeg2video"},
        "clip.gif": {"codec": "gif", "pix_fmt": "rgb8"},
    }
    settings = KINDS.get(name) or made.get(name, {})
    width, height = settings.get("size", (640, 272))
    path = encode(name, **settings)
    assert decode(path, max_pixels=width * height)[0].frames == 8  # whatever margins the codec adds
    for way in ("head", "uniform"):
        with pytest.raises(DecodeError, match=rf"^frames of {width}×{height} pixels are refused: --max-pixels allows"):
            decode(path, max_pixels=width * height - 1, sampling=way)


@pytest.mark.parametrize("name", ["text.mp4", "text.mkv", "text.avi", "text.ts", "text.nut"])
def test_texts_of_a_clip_may_be_in_any_encoding(tmp_path: Path, encode: Encode, name: str) -> None:
    """Of the file and of its stream: whatever a container keeps of them, none of it is needed."""
    with av.open(str(encode("texts.avi", codec="mpeg4"))) as source, av.open(str(tmp_path / name), "w") as container:
        texts = dict.fromkeys(("title", "artist", "service_name", "handler_name", "language"), "Qqq")
        container.metadata.update(texts)
        stream = container.add_stream_from_template(source.streams.video[0])
        stream.metadata.update(texts)
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = stream
                container.mux(packet)
    written = (tmp_path / name).read_bytes()
    assert b"Qqq" in written
    (tmp_path / name).write_bytes(written.replace(b"Qqq", b"\xe9\xff\x80"))
    assert decode(tmp_path / name)[0].frames == 8


@pytest.mark.parametrize("name", ["http:x.mp4", "concat:a|b.mp4", "pipe:0", "-", "frame%03d.mp4", "a b\n\u00e9.mp4"])
def test_names_that_look_like_urls_are_files(tmp_path: Path, clips: dict[str, Path], name: str) -> None:
    path = Path(shutil.copy(clips["carphone_distorted"], tmp_path / name))
    expected, frames = decode(clips["carphone_distorted"])
    clip, got = decode(path)
    assert clip.motion == expected.motion
    np.testing.assert_array_equal(got, frames)


def test_unread_slots_are_left_alone(encode: Encode) -> None:
    spec = DecodeSpec(32, 32, Head(8, 8), "auto", accept_short=True)
    out = np.full((8, 3, 32, 32), 77, np.uint16)
    clip = decode_clip(ClipRequest(str(encode("three.mp4", frames=3)), 0, 0), spec, out)
    assert clip.frames == 3
    assert (out[3:] == 77).all()


def test_no_frame_outlives_its_clip(clips: dict[str, Path]) -> None:
    """Frames in reference cycles wait for Python's collector, and workers grow by megabytes a clip meanwhile."""
    spec = DecodeSpec(64, 64, Head(30, 8), "auto")
    out = np.zeros((8, 3, 64, 64), np.uint16)

    def alive() -> int:
        return sum(type(one) is av.VideoFrame for one in gc.get_objects())

    gc.collect()
    before = alive()
    gc.disable()
    try:
        decode_clip(ClipRequest(str(clips["bikes"]), 0, 0), spec, out)
        assert alive() == before
    finally:
        gc.enable()
