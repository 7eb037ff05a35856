"""What FFmpeg's own tools pass over fails no clip: the list in docs/decoding.md, one by one."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image
from tests.clips import Encode
from tests.decoding import Frames, assert_same_frames, decode

from saliency_engine.errors import DecodeError

SIZE = (352, 288)


def packets_of(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(video=0) if packet.size]


def rewritten(path: Path, target: Path, change: Callable[[bytes], bytes]) -> Path:
    """The packets of ``path``, each of them changed."""
    with av.open(str(path)) as source, av.open(str(target), "w") as container:
        stream = container.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size:
                new = av.Packet(change(bytes(packet)))
                new.pts, new.dts, new.time_base, new.stream = packet.pts, packet.dts, packet.time_base, stream
                new.is_keyframe, new.duration = packet.is_keyframe, packet.duration
                container.mux(new)
    return target


# Side data of kinds that PyAV has no name for.


def exif(orientation: int = 1) -> bytes:
    entries = struct.pack("<HHII", 0x010F, 2, 7, 38) + struct.pack("<HHIHH", 0x0112, 3, 1, orientation, 0)
    return b"II*\0" + struct.pack("<IH", 8, 2) + entries + struct.pack("<I", 0) + b"CAMERA\0"


def jpeg_with(jpeg: bytes, orientation: int) -> bytes:
    body = b"Exif\0\0" + exif(orientation)
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + jpeg[2:]


def png_with_exif(png: bytes) -> bytes:
    chunk = b"eXIf" + exif()
    at = 33  # behind the signature and IHDR
    return png[:at] + struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) + png[at:]


def h264_with_lcevc(packet: bytes) -> bytes:
    """An enhancement layer (LCEVC) in a message of its own before the picture."""
    payload = b"\xb4\x00\x50\x00" + bytes(range(16, 40))
    message = b"\x06\x04" + bytes([len(payload)]) + payload + b"\x80"
    return struct.pack(">I", len(message)) + message + packet


def test_side_data_of_unknown_kinds(encode: Encode, tmp_path: Path) -> None:
    jpeg = encode("plain.avi", size=SIZE, codec="mjpeg", pix_fmt="yuvj420p")
    png = encode("plain.mov", size=SIZE, codec="png", pix_fmt="rgb24")
    h264 = encode("plain.mp4", size=SIZE)
    assert_same_frames(rewritten(jpeg, tmp_path / "exif.avi", lambda data: jpeg_with(data, 1)), jpeg)
    assert_same_frames(rewritten(png, tmp_path / "exif.mov", png_with_exif), png)
    assert_same_frames(rewritten(h264, tmp_path / "lcevc.mp4", h264_with_lcevc), h264)
    tiff = encode("plain-tiff.mov", size=SIZE, codec="tiff", pix_fmt="rgb24")  # its decoder gives EXIF by itself
    assert_same_frames(tiff, png)


@pytest.mark.parametrize(
    ("orientation", "turn"),
    [
        (2, lambda frames: frames[:, :, ::-1]),
        (3, lambda frames: frames[:, ::-1, ::-1]),
        (6, lambda frames: np.rot90(frames, -1, (1, 2))),
        (8, lambda frames: np.rot90(frames, 1, (1, 2))),
    ],
)
def test_what_exif_says_of_the_orientation_is_found_among_them(
    encode: Encode, tmp_path: Path, orientation: int, turn: Callable[[Frames], Frames]
) -> None:
    plain = encode("plain.avi", size=SIZE, codec="mjpeg", pix_fmt="yuvj420p")
    turned = rewritten(plain, tmp_path / "turned.avi", lambda data: jpeg_with(data, orientation))
    _, expected = decode(plain, width=64, height=64)
    _, frames = decode(turned, width=64, height=64)
    assert np.abs(frames - turn(expected)).mean() < 0.01


# Samples of no bytes.


def with_empty_sample(source: Path, target: Path, place: int) -> Path:
    """A copy of a MOV file (``moov`` last, one chunk) with one more sample, of no bytes, before sample ``place``."""
    data = bytearray(source.read_bytes())

    def find(*names: bytes) -> list[int]:
        at, chain = data.rindex(b"moov") - 4, []
        for name in names:
            at = data.index(name, at) - 4
            chain.append(at)
        return chain

    def add(at: int, more: int) -> None:
        data[at : at + 4] = (int.from_bytes(data[at : at + 4], "big") + more).to_bytes(4, "big")

    stbl = (b"moov", b"trak", b"mdia", b"minf", b"stbl")
    sizes = find(*stbl, b"stsz")
    add(sizes[-1] + 16, 1)
    data[sizes[-1] + 20 + 4 * place : sizes[-1] + 20 + 4 * place] = bytes(4)
    for box in sizes:
        add(box, 4)
    add(find(b"moov", b"trak", b"edts", b"elst")[-1] + 16, 40)  # milliseconds
    add(find(*stbl, b"stts")[-1] + 16, 1)
    add(find(*stbl, b"stsc")[-1] + 20, 1)
    target.write_bytes(data)
    return target


@pytest.mark.parametrize("place", [0, 1, 5, 12])
@pytest.mark.parametrize(
    ("codec", "pix_fmt"),
    [("libx264", "yuv420p"), ("mpeg4", "yuv420p"), ("mjpeg", "yuvj420p"), ("prores", "yuv422p10le")],
)
def test_samples_of_no_bytes(encode: Encode, tmp_path: Path, codec: str, pix_fmt: str, place: int) -> None:
    options = {"bf": "0"} if codec == "libx264" else {}
    plain = encode(f"{codec}.mov", size=SIZE, codec=codec, pix_fmt=pix_fmt, options=options)
    path = with_empty_sample(plain, tmp_path / "empty.mov", place)
    assert packets_of(path) == packets_of(plain)
    _, expected = decode(plain, max_frames=12, frame_samples=12)
    np.testing.assert_array_equal(decode(path, max_frames=12, frame_samples=12)[1], expected)
    assert decode(path, sampling="uniform", frame_samples=4)[0].frames == 4


@pytest.mark.parametrize(("codec", "pix_fmt"), [("mpeg4", "yuv420p"), ("mjpeg", "yuvj420p"), ("ffv1", "yuv420p")])
def test_frames_that_an_avi_left_out(encode: Encode, codec: str, pix_fmt: str) -> None:
    """FFmpeg writes a chunk of no bytes for each frame that is shown for one more time."""
    pts = [0, 1, 2, 6, 7, 8, 12, 13, 14, 20, 21, 22]
    path = encode("gaps.avi", size=SIZE, codec=codec, pix_fmt=pix_fmt, pts=pts)
    assert decode(path, max_frames=12, frame_samples=12)[0].frames == 12
    assert decode(path, sampling="uniform", frame_samples=4)[0].frames == 4


# Times, headers, tags.


@pytest.mark.parametrize("name", ["later.mp4", "later.mov"])
@pytest.mark.parametrize("bframes", ["0", "3"])
def test_edit_lists_that_begin_with_nothing(encode: Encode, name: str, bframes: str) -> None:
    options = {"bf": bframes}
    path = encode(name, size=SIZE, options=options, pts=list(range(50, 62)))
    assert b"elst" in path.read_bytes()
    assert_same_frames(path, encode(name, size=SIZE, options=options))


def test_bytes_before_and_behind_and_text_that_is_no_utf8(encode: Encode, tmp_path: Path) -> None:
    plain = encode("plain.mp4", size=SIZE)
    data = plain.read_bytes()
    path = tmp_path / "clip.mp4"
    path.write_bytes(data + struct.pack(">I4s", 1008, b"free") + bytes(1000) + b"TAG" + bytes(125))
    assert_same_frames(path, plain)
    path.write_bytes(data.replace(b"Lavf", b"\xff\xfe\xfd\xfc"))
    assert_same_frames(path, plain)
    raw = encode("plain.h264", size=SIZE)
    path = tmp_path / "tagged.h264"
    path.write_bytes(b"ID3\x04\0\0\0\0\x07\x76" + bytes(1014) + raw.read_bytes())
    assert_same_frames(path, raw)


def test_rgb_as_the_matrix_of_subsampled_planes_is_none(encode: Encode) -> None:
    """FFmpeg's own FLV muxer writes it for AV1 that has no tag."""
    plain = encode("plain.mkv", size=SIZE, codec="ffv1", pix_fmt="yuv420p")
    path = encode("rgb.mkv", size=SIZE, codec="ffv1", pix_fmt="yuv420p", colorspace=0)
    with av.open(str(path)) as container:
        assert next(container.decode(video=0)).colorspace == 0
    assert_same_frames(path, plain)


# Containers that FFmpeg's probe takes for something else.


@pytest.mark.parametrize("head", ["jfif", "exif", "none"])
def test_raw_motion_jpeg(encode: Encode, tmp_path: Path, head: str) -> None:
    plain = encode("plain.avi", size=SIZE, codec="mjpeg", pix_fmt="yuvj420p")
    jfif = bytes.fromhex("ffe000104a46494600010100000100010000")
    pictures = packets_of(plain)
    if head == "jfif":
        pictures = [picture[:2] + jfif + picture[2:] for picture in pictures]
    elif head == "exif":
        pictures = [jpeg_with(picture, 1) for picture in pictures]
    path = tmp_path / "camera"
    path.write_bytes(b"".join(pictures))
    assert_same_frames(path, plain)
    with pytest.raises(DecodeError, match=r"^frames of 352×288 pixels are refused"):
        decode(path, max_pixels=352 * 288 - 1)


def test_stills_are_no_clips(tmp_path: Path) -> None:
    """Not even those that hold a preview or a second view."""
    noise = np.random.default_rng(0).integers(0, 256, (288, 352, 3), np.uint8)
    for name in ("a.jpg", "a.png", "a.webp", "a.tiff", "a.bmp"):
        Image.fromarray(noise).save(tmp_path / name)
        with pytest.raises(DecodeError, match="a container that is not read here"):
            decode(tmp_path / name, accept_short=True)
    picture = (tmp_path / "a.jpg").read_bytes()
    Image.fromarray(noise).save(tmp_path / "b.jpg", exif=b"Exif\0\0" + exif() + picture[:20000])
    (tmp_path / "two.jpg").write_bytes(picture * 2)
    for name in ("b.jpg", "two.jpg"):
        with pytest.raises(DecodeError, match="a container that is not read here"):
            decode(tmp_path / name, accept_short=True)


RAW: dict[str, Any] = {
    "a.h261": {"codec": "h261"},
    "a.h263": {"codec": "h263"},
    "a.m4v": {"codec": "mpeg4"},
    "a.m1v": {"codec": "mpeg1video"},
    "a.m2v": {"codec": "mpeg2video"},
    "a.h264": {},
    "a.hevc": {"codec": "libx265"},
    "a.obu": {"codec": "libsvtav1", "options": {"preset": "12"}},
    "a.ivf": {"codec": "libvpx-vp9", "options": {"deadline": "realtime", "cpu-used": "8"}},
    "a.dv": {"codec": "dvvideo", "size": (720, 576)},
    "a.mjpeg": {"codec": "mjpeg", "pix_fmt": "yuvj420p"},
    "a.y4m": {},
    "a.gif": {"codec": "gif", "pix_fmt": "rgb8"},
    "a.apng": {"codec": "apng", "pix_fmt": "rgb24"},
    "a.nut": {"codec": "rawvideo"},
    "a.mxf": {"codec": "mpeg2video"},
    "a.dnxhd": {"codec": "dnxhd", "pix_fmt": "yuv422p", "size": (1920, 1080), "options": {"b": "120M"}},
}


@pytest.mark.parametrize("name", RAW)
def test_probing_reaches_every_container_that_is_admitted(encode: Encode, tmp_path: Path, name: str) -> None:
    path = encode(name, **{"size": SIZE} | RAW[name])
    nameless = tmp_path / "clip"
    nameless.write_bytes(path.read_bytes())
    assert decode(nameless)[0].frames == 8
