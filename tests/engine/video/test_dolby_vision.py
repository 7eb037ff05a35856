"""Dolby Vision: a base layer whose colours are no picture's fails, one that other screens show is read."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import av
import numpy as np
import pytest
from tests.clips import Encode
from tests.decoding import decode
from tests.headers import with_box, with_element

from saliency_engine.errors import DecodeError

CURE = "--color bt709"
SIZE = (96, 64)
# Profile, compatibility and tagged matrix (2: none).
FOREIGN = [(5, 0, 2), (5, 0, 9), (5, 1, 2), (10, 0, 2), (20, 0, 2), (8, 0, 2)]
COMPATIBLE = [(8, 1, 9), (8, 2, 1), (8, 4, 9), (8, 2, 2), (7, 6, 9), (7, 0, 9), (4, 2, 2), (9, 2, 1), (10, 4, 9)]
CONTAINERS = ["dv.mp4", "dv.mov", "dv.mkv"]


def configuration(profile: int, compatible_with: int) -> bytes:
    layers = 0b101  # metadata and base layer
    return struct.pack(">BBHB19x", 1, 0, profile << 9 | 6 << 3 | layers, compatible_with << 4)


def described(path: Path, kind: bytes, record: bytes) -> Path:
    """A copy of ``path`` whose container says that the video is Dolby Vision."""
    if path.suffix != ".mkv":
        return with_box(path, struct.pack(">I4s", 8 + len(record), kind) + record)
    mapping = b"\x41\xe7\x84" + kind + b"\x41\xed" + bytes([0x80 | len(record)]) + record
    return with_element(path, b"\x41\xe4" + bytes([0x80 | len(mapping)]) + mapping)


def clip(encode: Encode, name: str, matrix: int = 2) -> Path:
    return encode(f"{matrix}{name}", size=SIZE, codec="libx265", pix_fmt="yuv420p10le", colorspace=matrix)


@pytest.mark.parametrize("name", CONTAINERS)
@pytest.mark.parametrize(("profile", "compatible_with", "matrix"), FOREIGN)
def test_a_base_layer_that_is_no_picture_fails(
    encode: Encode, name: str, profile: int, compatible_with: int, matrix: int
) -> None:
    plain = clip(encode, name, matrix)
    kind = b"dvcC" if profile <= 7 else b"dvwC" if profile == 20 else b"dvvC"
    path = described(plain, kind, configuration(profile, compatible_with))
    for sampling in ("head", "uniform"):
        with pytest.raises(DecodeError, match=rf"^it is Dolby Vision profile {profile}: .*{CURE}"):
            decode(path, sampling=sampling)
        # The cure that the reason names.
        np.testing.assert_array_equal(
            decode(path, sampling=sampling, color="bt709")[1], decode(plain, sampling=sampling, color="bt709")[1]
        )


@pytest.mark.parametrize("name", CONTAINERS)
@pytest.mark.parametrize(("profile", "compatible_with", "matrix"), COMPATIBLE)
def test_a_base_layer_for_other_screens_is_read(
    encode: Encode, name: str, profile: int, compatible_with: int, matrix: int
) -> None:
    plain = clip(encode, name, matrix)
    path = described(plain, b"dvcC" if profile <= 7 else b"dvvC", configuration(profile, compatible_with))
    np.testing.assert_array_equal(decode(path)[1], decode(plain)[1])


@pytest.mark.parametrize("record", [b"\1\0\x0a\0", bytes(24)], ids=["short", "zeros"])
def test_a_record_that_says_nothing_and_one_of_another_track(encode: Encode, record: bytes) -> None:
    plain = clip(encode, "dv.mp4", 9)
    np.testing.assert_array_equal(decode(described(plain, b"dvcC", record))[1], decode(plain)[1])
    tagged = clip(encode, "dv.mkv", 9)
    path = described(tagged, b"mvcC", configuration(5, 0))  # additions of another type
    np.testing.assert_array_equal(decode(path)[1], decode(tagged)[1])


class Bits:
    """Numbers as bits, one after the other."""

    def __init__(self) -> None:
        self.text = ""

    def add(self, width: int, *values: int) -> None:
        self.text += "".join(f"{value:0{width}b}" for value in values)

    def golomb(self, *values: int) -> None:
        for value in values:
            self.text += "0" * ((value + 1).bit_length() - 1) + f"{value + 1:b}"

    def to_bytes(self) -> bytes:
        text = self.text + "0" * (-len(self.text) % 8)
        return int(text, 2).to_bytes(len(text) // 8, "big")


def frame_metadata(profile: int, full_range: bool) -> bytes:
    """A message of HEVC with a frame's metadata, which change nothing (ETSI GS CCM 001 §5)."""
    bits = Bits()
    bits.add(6, 2)
    bits.add(11, 18)
    bits.add(4, profile, 0)
    bits.add(1, 1, 0)
    bits.add(2, 0)
    bits.golomb(23)
    bits.add(2, 1)
    bits.add(1, full_range)
    bits.golomb(2, 2, 4)
    bits.add(1, 0, 0, 0, 0, 0, 1, 0, 0)
    bits.golomb(0, 0, 0)
    for _ in range(3):
        bits.golomb(0)
        bits.add(10, 0, 1023)
    bits.golomb(0, 0)
    for _ in range(3):
        bits.golomb(0, 0)
        bits.add(1, 0)
        for coefficient in (0, 1):  # 0 and 1, whole and signed, then 23 bits of fraction
            bits.golomb(coefficient)
            bits.add(23, 0)
    payload = bytes([25]) + bits.to_bytes() + b"\xff\xff\xff\xff\x80"
    return b"\x7c\x01" + re.sub(rb"\0\0(?=[\0-\3])", b"\0\0\3", payload)


def with_frame_metadata(source: Path, target: Path, message: bytes) -> Path:
    with av.open(str(source)) as clip, av.open(str(target), "w") as container:
        stream = container.add_stream_from_template(clip.streams.video[0])
        for packet in clip.demux(video=0):
            if packet.size:
                new = av.Packet(bytes(packet) + struct.pack(">I", len(message)) + message)
                new.pts, new.dts, new.time_base, new.stream = packet.pts, packet.dts, packet.time_base, stream
                new.is_keyframe, new.duration = packet.is_keyframe, packet.duration
                container.mux(new)
    return target


@pytest.mark.parametrize("suffix", ["ts", "hevc", "mkv", "mp4"])
def test_where_the_container_says_nothing_the_frames_do(encode: Encode, tmp_path: Path, suffix: str) -> None:
    plain = clip(encode, "dv.mp4")
    path = with_frame_metadata(plain, tmp_path / f"five.{suffix}", frame_metadata(0, full_range=True))
    for sampling in ("head", "uniform"):
        with pytest.raises(DecodeError, match=rf"^it is Dolby Vision without a base layer for other screens.*{CURE}"):
            decode(path, sampling=sampling)
    np.testing.assert_array_equal(decode(path, color="bt709")[1], decode(plain)[1])
    for number, message in enumerate((frame_metadata(1, full_range=False), frame_metadata(0, full_range=False))):
        path = with_frame_metadata(plain, tmp_path / f"compatible{number}.{suffix}", message)
        np.testing.assert_array_equal(decode(path)[1], decode(plain)[1])
