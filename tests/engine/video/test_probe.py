"""What probing tells of clips of which everything is known."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.clips import Encode, remuxed

from saliency_engine.errors import DecodeError
from saliency_engine.facts import ClipFacts, ProbeSpec
from saliency_engine.types import ClipRequest, RawFormat
from saliency_engine.video.probe import probe_clip


def probe(path: Path, raw: RawFormat | None = None, *, count: bool = False, short: bool = False) -> ClipFacts:
    status = path.stat()
    request = ClipRequest(str(path), status.st_size, status.st_mtime_ns, raw)
    return probe_clip(request, ProbeSpec("auto", 1 << 24, accept_short=short, confine="", count_frames=count))


def test_what_an_mp4_states(encode: Encode) -> None:
    path = encode("stated.mp4", size=(96, 64), rate=24, frames=12)
    assert probe(path) == ClipFacts(
        width=96,
        height=64,
        frames=12,
        frames_source="stated",
        frame_rate=24.0,
        duration=0.5,
        codec="h264",
        pix_fmt="yuv420p",
        bit_depth=8,
        transfer="sdr",
        rotation=0,
        file_bytes=path.stat().st_size,
    )


@pytest.mark.parametrize("suffix", ["mkv", "webm", "ts", "y4m"])
def test_frames_are_counted_where_nothing_states_them(encode: Encode, suffix: str) -> None:
    codec = {"webm": "libvpx-vp9", "y4m": "rawvideo"}.get(suffix, "libx264")
    facts = probe(encode(f"counted.{suffix}", size=(96, 64), rate=24, codec=codec))
    assert (facts.frames, facts.frames_source, facts.frame_rate) == (12, "counted", 24.0)
    assert facts.duration == pytest.approx(0.5, abs=0.002)


def test_every_clip_is_counted_on_demand(encode: Encode) -> None:
    facts = probe(encode("stated.mp4", size=(96, 64), rate=24, frames=12), count=True)
    assert (facts.frames, facts.frames_source, facts.duration) == (12, "counted", 0.5)


def test_a_clip_that_is_counted_must_be_whole(encode: Encode, tmp_path: Path) -> None:
    """Head first, the container states what is not there any more; counting sees it."""
    source = encode("whole.mp4", frames=12)
    cut = remuxed(source, tmp_path / "cut.mp4", {"movflags": "faststart"})
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size * 2 // 3])
    assert (probe(cut).frames, probe(cut).frames_source) == (12, "stated")
    with pytest.raises(DecodeError, match="cut off"):
        probe(cut, count=True)
    assert 0 < probe(cut, count=True, short=True).frames < 12


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_rotation_is_clockwise(encode: Encode, rotation: int) -> None:
    facts = probe(encode(f"turned{rotation}.mp4", size=(96, 64), rotation=rotation))  # counter-clockwise
    assert facts.rotation == -rotation % 360
    assert (facts.width, facts.height) == (96, 64)  # as stored


@pytest.mark.parametrize(("tag", "transfer"), [("smpte2084", "pq"), ("arib-std-b67", "hlg")])
def test_ten_bits_and_their_transfer(encode: Encode, tag: str, transfer: str) -> None:
    options = {"x265-params": f"transfer={tag}:colorprim=bt2020:colormatrix=bt2020nc"}
    facts = probe(encode(f"{transfer}.mp4", codec="libx265", pix_fmt="yuv420p10le", frames=2, options=options))
    assert (facts.codec, facts.pix_fmt, facts.bit_depth, facts.transfer) == ("hevc", "yuv420p10le", 10, transfer)


def test_raw_video_has_frames_and_no_time(encode: Encode) -> None:
    path = encode("raw.yuv", size=(96, 64), pix_fmt="yuv420p10le", frames=5)
    facts = probe(path, RawFormat(96, 64, "yuv420p10le"))
    assert (facts.width, facts.height, facts.frames, facts.frames_source) == (96, 64, 5, "counted")
    assert (facts.codec, facts.pix_fmt, facts.bit_depth) == ("rawvideo", "yuv420p10le", 10)
    assert facts.frame_rate is None
    assert facts.duration is None


def test_a_clip_without_a_frame_fails(encode: Encode, tmp_path: Path) -> None:
    (tmp_path / "junk.mp4").write_bytes(b"junk" * 999)
    with pytest.raises(DecodeError, match="cannot be opened as video"):
        probe(tmp_path / "junk.mp4")
    whole = encode("whole.mp4", frames=12).read_bytes()
    at = whole.index(b"mdat")
    (tmp_path / "blank.mp4").write_bytes(whole[: at + 4] + bytes(len(whole) - at - 4))
    with pytest.raises(DecodeError):
        probe(tmp_path / "blank.mp4")
