"""Clips that cannot be decoded, or must not be: each is refused with its reason."""

from __future__ import annotations

import gzip
import os
import struct
from pathlib import Path

import av
import numpy as np
import pytest
from tests.clips import Encode
from tests.decoding import decode

from saliency_engine.config import MAX_PIXELS
from saliency_engine.errors import DecodeError
from saliency_engine.types import RawFormat
from saliency_engine.video.timeline import MOST_FRAMES


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
