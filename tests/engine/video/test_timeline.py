"""Clips whose packets, indexes or times are wrong: uniform sampling still gives what decoding in order gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from tests.clips import Encode
from tests.encoders import SPOILED, write_clip
from tests.in_order import outcome

from saliency_engine import Engine, RunConfig
from saliency_engine.video.timeline import indices_by_time, leaps

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


def test_frames_that_are_due_more_than_once_are_said(encode: Encode, tmp_path: Path) -> None:
    pts = [*range(10), *range(500, 510)]
    clip = encode("slides.mkv", frames=20, size=(160, 68), pts=pts)
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
