"""Clips whose packets, indexes or times are wrong: uniform sampling still gives what decoding in order gives."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pyarrow as pa
import pytest
from tests.clips import Encode, Settings
from tests.encoders import SPOILED, write_clip
from tests.in_order import outcome

from saliency_engine import Engine, RunConfig
from saliency_engine.video.timeline import indices_by_time, leaps

SIZE = (160, 68)
CLIPS = [
    *((codec, suffix, "cut") for codec in ("libx264", "mpeg4", "libx265") for suffix in ("mp4", "mov")),
    *((codec, suffix, "late") for codec, suffix in (("libx264", "ts"), ("mpeg2video", "ts"), ("libx265", "mkv"))),
    *((codec, suffix, "claims") for codec in ("libx264", "mpeg4", "libvpx") for suffix in ("mkv", "avi")),
    ("wmv2", "avi", "claims"),
    *(("libx264", suffix, "no index") for suffix in ("mp4", "mkv")),
    ("wmv2", "avi", "no index"),
    ("mpeg4", "avi", "no index"),
    ("msmpeg4", "asf", "no index"),
    *(("libx264", suffix, "twice") for suffix in ("ts", "mkv", "h264")),
    ("libx264", "mkv", "leap"),
    ("mpeg2video", "ts", "leap"),
    ("libx264", "mp4", "leap"),
]


@pytest.mark.parametrize(("codec", "suffix", "spoiled"), CLIPS, ids=str)
@pytest.mark.parametrize("group", ["short", "open"])
def test_what_packets_claim_is_not_believed(tmp_path: Path, codec: str, suffix: str, spoiled: str, group: str) -> None:
    whole, path = tmp_path / f"whole.{suffix}", tmp_path / f"clip.{suffix}"
    assert write_clip(whole, codec, group)
    SPOILED[spoiled](whole, path)
    assert outcome(path) == "same"


@pytest.mark.parametrize("name", ["h261.avi", "h263.avi", "h263p.avi", "h261.h261", "h263.h263"])
def test_a_parser_that_calls_every_frame_a_keyframe_is_not_believed(tmp_path: Path, name: str) -> None:
    assert write_clip(tmp_path / name, name.partition(".")[0], "long")
    assert outcome(tmp_path / name) == "same"


def with_steps_of_one(source: Path, target: Path) -> Path:
    """A copy of an MP4 or MOV (``moov`` last) whose frames last one unit each, while their offsets stay large."""
    data = bytearray(source.read_bytes())
    at = data.rindex(b"stts") + 8
    for entry in range(at + 4, at + 4 + 8 * int.from_bytes(data[at : at + 4], "big"), 8):
        data[entry + 4 : entry + 8] = (1).to_bytes(4)
    assert b"ctts" in data[at - 2000 :]
    target.write_bytes(data.replace(b"edts", b"free"))
    return target


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mov"])
@pytest.mark.parametrize("frames", [12, 20, 40])
@pytest.mark.parametrize(
    "settings",
    [
        {"size": SIZE, "codec": "libx264", "options": {"bf": "2"}, "gop": 250},
        {"size": SIZE, "codec": "libx264", "options": {"bf": "4", "b-pyramid": "none"}, "gop": 12},
        {"size": SIZE, "codec": "libx265", "options": {"x265-params": "bframes=3"}},
        {"size": SIZE, "codec": "mpeg4", "options": {"bf": "2"}, "gop": 8},
        {"size": SIZE, "codec": "mpeg4", "options": {"bf": "2"}, "gop": 250},
        {"size": SIZE, "codec": "mpeg2video", "options": {"bf": "2"}, "gop": 12},
    ],
    ids=str,
)
def test_offsets_that_are_larger_than_all_steps(
    encode: Encode, tmp_path: Path, name: str, frames: int, settings: Settings
) -> None:
    plain = encode(name, frames=frames, **settings)
    assert outcome(with_steps_of_one(plain, tmp_path / name)) == "same"


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv", "clip.nut"])
@pytest.mark.parametrize("late", [100, 100_000])
@pytest.mark.parametrize("gop", [8, 48])
def test_all_but_the_keyframes_are_late(encode: Encode, tmp_path: Path, name: str, late: int, gop: int) -> None:
    """Sorted by their times, the keyframes come first, and one is shown until the others are due."""
    plain = encode("plain.mp4", frames=48, gop=gop, options={"bf": "0"}, size=SIZE)
    with av.open(str(plain)) as source, av.open(str(tmp_path / name), "w") as container:
        stream = container.add_stream_from_template(source.streams.video[0])
        for number, packet in enumerate(source.demux(video=0)):
            if packet.size:
                packet.pts, packet.dts = number + (0 if packet.is_keyframe else late), number
                packet.duration, packet.stream = 1, stream
                container.mux(packet)
    assert outcome(tmp_path / name) == "same"


def test_frames_that_are_due_more_than_once_are_said(encode: Encode, tmp_path: Path) -> None:
    pts = [*range(10), *range(500, 510)]
    clip = encode("slides.mkv", frames=20, size=SIZE, pts=pts)
    config = RunConfig(model="frequency_tuned_v1", sampling="uniform", frame_samples=8, memo=str(tmp_path / "memo"))
    for _ in range(2):  # computed, then from the memo
        with Engine(config) as engine:
            (batch,) = engine.process([pa.record_batch({"src": [str(clip)]})])
        (row,) = batch.to_pylist()
        assert row["saliency_status"] == "ok"
        assert "of 8 frames: some are shown so long that they are due more than once" in row["saliency_error"]


def test_a_gap_is_a_leap_only_where_no_frame_can_be_that_long() -> None:
    hour, frame, second = 3600 * 25, 1, 25
    steady = np.arange(0, 100 * frame)
    assert not leaps(steady, 1 / 25)
    assert leaps(np.append(steady, steady + hour), 1 / 25)
    slides = np.arange(0, 20 * 30 * second, 30 * second)  # one picture every half a minute
    assert not leaps(slides, 1 / 25)


def test_each_frame_is_taken_once() -> None:
    assert indices_by_time(np.array([0, 1, 100]), 101, 8) == [1]
    assert indices_by_time(np.array([0, 50, 100]), 150, 3) == [0, 1, 2]
