"""Several memos become one: all of it or nothing, and no clip with two numbers."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from tests.memos import statistics_of
from tests.processes import finished_clips

from saliency_engine.errors import MemoError
from saliency_engine.extras import Measured
from saliency_engine.facts import Signal
from saliency_engine.pipeline.memo import Memo
from saliency_engine.pipeline.memo_merge import merge
from saliency_engine.types import ClipRequest, ClipStatistics


def _request(number: int) -> ClipRequest:
    return ClipRequest(f"/clips/{number}.mp4", 1000, 0)


def _make(path: Path, entries: Mapping[int, ClipStatistics]) -> Path:
    """A memo with entries for the clips of these numbers."""
    memo = Memo(path, {})
    for number, statistics in entries.items():
        memo.put(memo.key(_request(number)), _request(number), statistics)
    memo.close()
    return path


def _read(path: Path, number: int) -> ClipStatistics | None:
    memo = Memo(path, {})
    try:
        statistics = memo.get(memo.key(_request(number)))
    finally:
        memo.close()
    assert statistics is None or isinstance(statistics, ClipStatistics)
    return statistics


def _with(number: int, **extras: float) -> ClipStatistics:
    return replace(statistics_of(number), extras=Measured(extras))


_ANOTHER: Mapping[str, Callable[[ClipStatistics], ClipStatistics]] = {
    "means": lambda one: replace(one, means=one.means + 1e-16 + one.means * 2e-16),
    "motion": lambda one: replace(one, motion=one.motion * 2),
    "gram": lambda one: replace(one, gram=one.gram * 2),
    "maximum": lambda one: replace(one, maximum=(one.maximum[0], one.maximum[1] / 2)),
    "frames": lambda one: replace(one, means=one.means[1:], motion=one.motion[1:], gram=one.gram[1:, 1:]),
    "extras": lambda one: replace(one, extras=Measured({"y_avg": 2.5})),
}


@pytest.mark.parametrize("what", _ANOTHER)
def test_two_numbers_for_one_clip_are_an_error_that_names_it_and_nothing_is_merged(tmp_path: Path, what: str) -> None:
    mine = _make(tmp_path / "mine", {number: statistics_of(number) for number in range(3)})
    first = _make(tmp_path / "first", {3: statistics_of(3), 7: _with(7, y_avg=1.5)})
    second = _make(tmp_path / "second", {4: statistics_of(4), 7: _ANOTHER[what](_with(7, y_avg=1.5))})
    before = finished_clips(mine)
    with pytest.raises(MemoError) as caught:
        merge(mine, [first, second])
    assert str(caught.value).startswith(
        f"{second} has other numbers for the clip {_request(7).path} than the memo that"
    )
    assert "Leave one of the memos out; nothing was merged" in str(caught.value)
    assert finished_clips(mine) == before
    assert merge(mine, [first]) == (2, 0)


def test_the_same_numbers_of_an_entry_that_does_not_say_the_signal_agree(tmp_path: Path) -> None:
    """So entries of version 2 are; what has been measured beside the saliency is put together."""
    older = _make(tmp_path / "older", {1: replace(_with(1, y_avg=1.5), signal=None)})
    newer = _make(tmp_path / "newer", {1: replace(_with(1, y_var=2.5), signal=Signal("sdr", 8))})
    assert merge(older, [newer, newer]) == (0, 0)
    read = _read(older, 1)
    assert read is not None
    assert read.extras == Measured({"y_avg": 1.5, "y_var": 2.5})


def test_a_damaged_entry_is_mended_by_a_whole_one(tmp_path: Path) -> None:
    mine = _make(tmp_path / "mine", {1: statistics_of(1)})
    whole = _make(tmp_path / "whole", {1: statistics_of(1)})
    with closing(sqlite3.connect(mine)) as db, db:
        db.execute("UPDATE clips SET statistics = zeroblob(440)")
    with pytest.raises(MemoError, match="an entry is damaged"):
        _read(mine, 1)
    assert merge(mine, [whole]) == (0, 0)
    assert _read(mine, 1) is not None


def test_a_merge_that_is_cut_off_leaves_what_was_there(tmp_path: Path) -> None:
    mine = _make(tmp_path / "mine", {0: statistics_of(0)})
    other = _make(tmp_path / "other", {number: statistics_of(number) for number in range(1, 40)})
    before = finished_clips(mine)
    with closing(sqlite3.connect(other)) as db, db:
        db.execute("ALTER TABLE clips RENAME COLUMN path TO place")  # found when the first memo is in
    with pytest.raises(MemoError, match="no such column"):
        merge(mine, [_make(tmp_path / "first", {50: statistics_of(50)}), other])
    assert finished_clips(mine) == before


def test_merging_gives_an_entry_what_only_the_other_memo_has_measured(tmp_path: Path) -> None:
    one = _make(tmp_path / "a", {1: _with(1, y_avg=1.5, y_var=2.5)})
    other = _make(tmp_path / "b", {1: _with(1, y_avg=1.5, shot_count_norm=0.25)})
    assert merge(one, [other]) == (0, 0)
    read = _read(one, 1)
    assert read is not None
    assert read.extras == Measured({"y_avg": 1.5, "y_var": 2.5, "shot_count_norm": 0.25})
