"""An encrypted clip says so, whatever its packets look like to a decoder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from tests.clips import Encode, remuxed
from tests.decoding import decode
from tests.headers import with_element

from saliency_engine.errors import DecodeError

SIZE = (160, 68)
KEY = "76a6c65c5ea762046bd749a2e632ccbb"
COMMON = {"encryption_scheme": "cenc-aes-ctr", "encryption_key": KEY, "encryption_kid": KEY}
FRAGMENTS = {"movflags": "frag_keyframe+empty_moov"}


def assert_refused(path: Path) -> None:
    for settings in ({}, {"sampling": "uniform"}, {"accept_short": True}, {"color": "bt709"}):
        with pytest.raises(DecodeError, match=r"^the clip is encrypted: decrypt it first, with its key"):
            decode(path, **settings)


@pytest.mark.parametrize("codec", ["libx264", "libx265"])
@pytest.mark.parametrize("options", [{}, {"movflags": "faststart"}, FRAGMENTS], ids=["end", "front", "fragments"])
@pytest.mark.parametrize("suffix", ["mp4", "mov"])
def test_common_encryption(encode: Encode, tmp_path: Path, codec: str, options: dict[str, str], suffix: str) -> None:
    plain = encode("plain.mp4", size=SIZE, codec=codec)
    path = remuxed(plain, tmp_path / f"clip.{suffix}", COMMON | options)
    assert b"encv" in path.read_bytes()
    assert_refused(path)


@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_what_the_reason_tells_to_do_helps(encode: Encode, tmp_path: Path, codec: str) -> None:
    plain = encode("plain.mp4", size=SIZE, codec=codec)
    path = remuxed(plain, tmp_path / "clip.mp4", COMMON)
    with (
        av.open(str(path), options={"decryption_key": KEY}) as source,
        av.open(str(tmp_path / "new.mp4"), "w") as target,
    ):
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = stream
                target.mux(packet)
    np.testing.assert_array_equal(decode(tmp_path / "new.mp4")[1], decode(plain)[1])


@pytest.mark.parametrize("entry", [b"encv", b"drmi"])
def test_an_entry_that_names_no_codec(encode: Encode, tmp_path: Path, entry: bytes) -> None:
    """FairPlay, and schemes of which FFmpeg knows nothing."""
    data = encode("plain.mp4", size=SIZE).read_bytes()
    path = tmp_path / "clip.mp4"
    at = data.rindex(b"avc1")
    path.write_bytes(data[:at] + entry + data[at + 4 :])
    assert_refused(path)


def element(kind: bytes, content: bytes) -> bytes:
    return kind + bytes([0x80 | len(content)]) + content


def test_webm_encryption(encode: Encode) -> None:
    plain = encode("plain.mkv", size=SIZE)
    algorithm = element(b"\x47\xe1", b"\5") + element(b"\x47\xe2", bytes(range(16)))
    kind = element(b"\x50\x32", b"\1") + element(b"\x50\x33", b"\1") + element(b"\x50\x35", algorithm)
    assert_refused(with_element(plain, element(b"\x6d\x80", element(b"\x62\x40", kind))))


def transport(path: Path, change: Callable[[bytearray, int], Any]) -> Path:
    """A copy of a transport stream with ``change`` made to every packet of the video: the file, and where it begins."""
    data = bytearray(path.read_bytes())
    first, size = (4, 192) if path.suffix == ".m2ts" else (0, 188)
    with av.open(str(path)) as container:
        video = container.streams.video[0].id
    for at in range(first, len(data), size):
        if int.from_bytes(data[at + 1 : at + 3], "big") & 0x1FFF == video:
            change(data, at)
    target = path.with_name(f"changed{path.suffix}")
    target.write_bytes(data)
    return target


def mark(data: bytearray, at: int) -> None:
    data[at + 3] |= 0x80


def scramble(data: bytearray, at: int) -> None:
    mark(data, at)
    head = 4 + (1 + data[at + 4] if data[at + 3] & 0x20 else 0)
    data[at + head : at + 188] = np.random.default_rng(at).integers(0, 256, 188 - head, np.uint8).tobytes()


@pytest.mark.parametrize("name", ["plain.ts", "plain.m2ts"])
@pytest.mark.parametrize("codec", ["libx264", "mpeg2video"])
def test_a_scrambled_transport_stream(encode: Encode, name: str, codec: str) -> None:
    plain = encode(name, size=SIZE, codec=codec, options={"mpegts_m2ts_mode": "1"} if "m2" in name else {})
    left_over = transport(plain, mark)  # descrambled, but for the mark
    np.testing.assert_array_equal(decode(left_over)[1], decode(plain)[1])
    assert_refused(transport(plain, scramble))


def test_noise_is_not_called_encrypted(encode: Encode) -> None:
    def spoil(data: bytearray, at: int) -> None:
        scramble(data, at)
        data[at + 3] &= 0x3F

    path = transport(encode("plain.ts", size=SIZE), spoil)
    for sampling in ("head", "uniform"):
        with pytest.raises(DecodeError, match=r"^the file holds no frame that can be decoded$"):
            decode(path, sampling=sampling)
