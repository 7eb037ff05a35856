"""Clips of every kind into frames, and clips at fault into reasons."""

from __future__ import annotations

import gc
import gzip
import os
import shutil
import struct
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from tests.clips import Encode, planar_frame, plane_bytes

from saliency_engine.config import MAX_PIXELS, RunConfig
from saliency_engine.errors import DecodeError
from saliency_engine.samplings import Head
from saliency_engine.types import ClipRequest, DecodedClip, DecodeSpec, RawFormat, decode_spec
from saliency_engine.video.decode import decode_clip
from saliency_engine.video.frame_sizes import frame_bytes
from saliency_engine.video.timeline import MOST_FRAMES

Frames = NDArray[np.float64]


def decode(
    path: Path | str, raw: RawFormat | None = None, *, width: int = 320, height: int = 320, **settings: Any
) -> tuple[DecodedClip, Frames]:
    spec = decode_spec(RunConfig(model="frequency_tuned_v1", **settings), width, height)
    out = np.zeros((spec.frames_per_clip, 3, spec.height, spec.width), np.uint16)
    clip = decode_clip(ClipRequest(str(path), 0, 0, raw), spec, out)
    return clip, out[: clip.frames].transpose(0, 2, 3, 1) / 257.0


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


def test_frames_that_grow_too_large_are_refused(encode: Encode, tmp_path: Path) -> None:
    path = tmp_path / "growing.h264"
    sizes = [(320, 240), (1280, 720)]
    path.write_bytes(b"".join(encode("part.h264", size=size, frames=40).read_bytes() for size in sizes))
    assert decode(path, max_pixels=320 * 240)[0].frames == 8
    for settings in ({"sampling": "uniform"}, {"max_frames": 41, "frame_samples": 41}):
        with pytest.raises(DecodeError, match=r"^frames of 1280×720 pixels are refused: --max-pixels allows 76800$"):
            decode(path, max_pixels=320 * 240, **settings)


def test_too_many_frames_to_sample_the_whole_of(tmp_path: Path) -> None:
    path = tmp_path / "many.yuv"
    with path.open("wb") as file:
        file.truncate(6 * (MOST_FRAMES + 1))
    raw = RawFormat(2, 2, "yuv420p")
    assert decode(path, raw)[0].frames == 8
    with pytest.raises(DecodeError, match="more than 432000 frames"):
        decode(path, raw, sampling="uniform")


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


def test_files_that_are_no_clip(tmp_path: Path, clips: dict[str, Path], encode: Encode) -> None:
    def file(name: str, content: bytes) -> Path:
        (tmp_path / name).write_bytes(content)
        return tmp_path / name

    clip = str(clips["bikes"]).encode()
    whole = encode("whole.mp4").read_bytes()
    bomb = struct.pack("<6sHH3s6sx4HxB", b"GIF89a", 16000, 16000, b"\x80\x00\x00", bytes(6), 0, 0, 16000, 16000, 2)
    os.mkfifo(tmp_path / "fifo")
    faults = {
        file("empty.mp4", b""): "the file is empty",
        file("noise.mp4", np.random.default_rng(3).bytes(5000)): "cannot be opened as video",
        file("text.mp4", b"hello\n" * 99): "^cannot be opened as video: it is text$",
        file("page.mp4", b"<!DOCTYPE html>\n<html>" * 99): "it is a web page, probably a failed download: fetch",
        file("lfs.mp4", b"version https://git-lfs.github.com/spec/v1\n"): "it is a Git LFS pointer: run git lfs pull",
        file("error.mp4", b'{"error": "expired"}'): "cannot be opened as video: it is JSON",
        file("packed.mp4", gzip.compress(whole)): "cannot be opened as video: it is gzip data",
        file("cut.mp4", whole[: len(whole) // 2]): "cannot be opened as video",
        file("list.m3u8", b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n" + clip): "cannot be opened as video",
        file("list.txt", b"ffconcat version 1.0\nfile '" + clip + b"'\n"): "a container that is not read here",
        file("bomb.gif", bomb + b"\x02\x4c\x01\x00\x3b"): f"16000×16000 .* --max-pixels allows {MAX_PIXELS}",
        tmp_path: "not a regular file",
        tmp_path / "fifo": "not a regular file",
        tmp_path / "absent.mp4": "No such file",
        tmp_path / ("x" * 300): "File name too long",
        tmp_path / "nul\0.mp4": "null (byte|character)",
    }
    for path, reason in faults.items():
        with pytest.raises(DecodeError, match=reason):
            decode(path)


def test_sound_alone_is_no_clip(tmp_path: Path) -> None:
    path = tmp_path / "sound.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(DecodeError, match="no video stream"):
        decode(path)


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


@pytest.mark.parametrize("sampling", ["head", "uniform"])
def test_decoder_error_says_how_far_it_came(encode: Encode, tmp_path: Path, sampling: str) -> None:
    path = tmp_path / "damaged.mp4"
    content = bytearray(encode("tomp.mp4", frames=40, options={"bf": "0"}).read_bytes())
    start = content.index(b"mdat")
    size = int.from_bytes(content[start - 4 : start], "big")
    content[start + size // 2 : start + size - 8] = b"\xff" * (size - 8 - size // 2)
    path.write_bytes(content)
    with pytest.raises(DecodeError, match=r"the decoder failed after [1-9]\d* frames: Invalid data"):
        decode(path, sampling=sampling, max_frames=40, frame_samples=40)


@pytest.mark.parametrize(
    ("codec", "place", "reason"), [("ffv1", -1, "Invalid data found"), ("rv20", 4, "Not yet implemented")]
)
def test_a_decoder_that_does_not_start_says_why(
    encode: Encode, tmp_path: Path, codec: str, place: int, reason: str
) -> None:
    """FFV1's header has a checksum, RealVideo's a version. That clip is cut, too: it does not begin with a keyframe."""
    path = tmp_path / ("damaged.rm" if codec == "rv20" else "damaged.mkv")
    whole = encode(path.name, codec=codec)
    with av.open(str(whole)) as source, av.open(str(path), "w") as container:
        stream = container.add_stream_from_template(source.streams.video[0])
        header = source.streams.video[0].codec_context.extradata
        for packet in list(source.demux(video=0))[codec == "rv20" : -1]:
            packet.stream = stream
            container.mux(packet)
    assert header is not None
    damaged, data = bytearray(header), path.read_bytes()
    damaged[place] ^= 0xF0
    assert data.count(header) == 1
    path.write_bytes(data.replace(header, damaged))
    with pytest.raises(DecodeError, match=f"the decoder failed after 0 frames: {reason}"):
        decode(path)


def test_unread_slots_are_left_alone(encode: Encode) -> None:
    spec = DecodeSpec(32, 32, Head(8, 8), "auto", accept_short=True)
    out = np.full((8, 3, 32, 32), 77, np.uint16)
    clip = decode_clip(ClipRequest(str(encode("three.mp4", frames=3)), 0, 0), spec, out)
    assert clip.frames == 3
    assert (out[3:] == 77).all()


def test_raw_frames_hold_the_planes_alone(source_frames: Callable[[str, int], list[av.VideoFrame]]) -> None:
    """The writer of raw test clips itself: odd sizes, no padding."""
    frame = source_frames("bikes", 1)[0].reformat(321, 179, "yuv420p", threads=1)
    assert len(plane_bytes(frame)) == frame_bytes(RawFormat(321, 179, "yuv420p"))


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
