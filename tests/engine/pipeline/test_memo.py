"""What a memo finds again and what it does not, for one run and for several at once."""

from __future__ import annotations

import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from saliency_engine.errors import DecodeError
from saliency_engine.extras import Measured
from saliency_engine.facts import Signal
from saliency_engine.pipeline.memo import Memo
from saliency_engine.types import ClipRequest, ClipStatistics, RawFormat

REQUEST = ClipRequest("/clips/a.yuv", 1000, 123456789, RawFormat(64, 48, "yuv420p"))
CONTEXT = {"model": "ab" * 32, "size": [320, 320], "provider": "CPU", "sampling": ["head", 8, 8], "color": "auto"}


def _statistics(frames: int = 8) -> ClipStatistics:
    generator = np.random.default_rng(frames)
    root = generator.random((frames, frames))
    return ClipStatistics(generator.random(frames), generator.random(frames), root @ root.T, (0.25, 0.125))


@pytest.mark.parametrize("frames", [1, 2, 8, 33])
def test_statistics_come_back_exactly(tmp_path: Path, frames: int) -> None:
    statistics = _statistics(frames)
    memo = Memo(tmp_path / "memo.sqlite", CONTEXT)
    memo.put(memo.key(REQUEST), REQUEST, statistics)
    memo.close()

    again = Memo(tmp_path / "memo.sqlite", CONTEXT)
    read = again.get(again.key(REQUEST))
    again.close()
    assert isinstance(read, ClipStatistics)
    np.testing.assert_array_equal(read.means, statistics.means)
    np.testing.assert_array_equal(read.motion, statistics.motion)
    np.testing.assert_allclose(read.gram, statistics.gram, rtol=1e-15)
    assert read.maximum == statistics.maximum


@pytest.mark.parametrize("frames", [1, 2, 8])
@pytest.mark.parametrize("signal", [Signal("sdr", 8), Signal("pq", 10), Signal("hlg", 12), Signal("sdr", 32), None])
@pytest.mark.parametrize("timed", [False, True])
def test_signal_and_times_of_a_clip_come_back(tmp_path: Path, frames: int, signal: Signal | None, timed: bool) -> None:
    memo = Memo(tmp_path / "memo.sqlite", CONTEXT)
    times = np.arange(frames) / 30 if timed else None
    memo.put(memo.key(REQUEST), REQUEST, replace(_statistics(frames), signal=signal, times=times))
    read = memo.get(memo.key(REQUEST))
    memo.close()
    assert isinstance(read, ClipStatistics)
    assert read.signal == signal
    if timed and signal:  # without a signal it is an entry of an older memo, which has no times either
        np.testing.assert_array_equal(read.times, times)
    else:
        assert read.times is None
    np.testing.assert_allclose(read.gram, _statistics(frames).gram, rtol=1e-15)
    np.testing.assert_array_equal(read.means, _statistics(frames).means)


@pytest.mark.parametrize("frames", [1, 2, 8])
@pytest.mark.parametrize("signal", [Signal("sdr", 8), Signal("hlg", 12), None])
def test_what_was_measured_besides_comes_back(tmp_path: Path, frames: int, signal: Signal | None) -> None:
    values = {"y_avg": 116.48686482747395, "noise_lap_mad": 0.1 + 0.2, "shot_cut_density": 0.0, "y_var": 1e-300}
    memo = Memo(tmp_path / "memo.sqlite", CONTEXT)
    memo.put(memo.key(REQUEST), REQUEST, replace(_statistics(frames), signal=signal, extras=Measured(values)))
    read = memo.get(memo.key(replace(REQUEST, extra=("luma",))))
    memo.close()
    assert isinstance(read, ClipStatistics)
    assert (read.extras, read.signal) == (Measured(values), signal)
    np.testing.assert_array_equal(read.means, _statistics(frames).means)
    np.testing.assert_allclose(read.gram, _statistics(frames).gram, rtol=1e-15)


def test_why_something_could_not_be_measured_is_known_for_a_run(tmp_path: Path) -> None:
    memo = Memo(tmp_path / "memo.sqlite", CONTEXT)
    lacking = Measured({"y_avg": 1.5}, {"shots": "the file is cut off"})
    memo.put(memo.key(REQUEST), REQUEST, replace(_statistics(), extras=lacking))
    read = memo.get(memo.key(REQUEST))
    memo.close()
    again = Memo(tmp_path / "memo.sqlite", CONTEXT)
    later = again.get(again.key(REQUEST))
    again.close()
    assert isinstance(read, ClipStatistics)
    assert isinstance(later, ClipStatistics)
    assert read.extras == lacking
    assert read.extras.has("shots")
    assert later.extras == Measured({"y_avg": 1.5})
    assert not later.extras.has("shots")


@pytest.mark.parametrize(
    "changed",
    [
        replace(REQUEST, path="/clips/b.yuv"),
        replace(REQUEST, size=1001),
        replace(REQUEST, mtime_ns=123456790),
        replace(REQUEST, raw=RawFormat(48, 64, "yuv420p")),
        replace(REQUEST, raw=RawFormat(64, 48, "yuv422p")),
        replace(REQUEST, raw=None),
    ],
)
def test_a_changed_clip_is_not_found(tmp_path: Path, changed: ClipRequest) -> None:
    memo = Memo(tmp_path / "memo.sqlite", CONTEXT)
    memo.put(memo.key(REQUEST), REQUEST, _statistics())
    assert memo.get(memo.key(changed)) is None
    memo.close()


@pytest.mark.parametrize("name", list(CONTEXT))
def test_a_changed_option_is_not_found(tmp_path: Path, name: str) -> None:
    memo = Memo(tmp_path / "memo.sqlite", CONTEXT)
    memo.put(memo.key(REQUEST), REQUEST, _statistics())
    memo.close()
    other = Memo(tmp_path / "memo.sqlite", {**CONTEXT, name: "other"})
    assert other.get(other.key(REQUEST)) is None
    other.close()


def test_failures_last_for_one_run(tmp_path: Path) -> None:
    failure = DecodeError("no frame")
    memo = Memo(tmp_path / "memo.sqlite", CONTEXT)
    memo.put_failure(memo.key(REQUEST), failure)
    kept = memo.get(memo.key(REQUEST))
    assert (type(kept), str(kept)) == (DecodeError, "no frame")
    memo.close()
    again = Memo(tmp_path / "memo.sqlite", CONTEXT)
    assert again.get(again.key(REQUEST)) is None
    again.close()


def test_eight_frames_take_about_700_bytes(tmp_path: Path) -> None:
    memo = Memo(tmp_path / "memo.sqlite", CONTEXT)
    memo.put(memo.key(REQUEST), REQUEST, _statistics(8))
    memo.close()
    with sqlite3.connect(tmp_path / "memo.sqlite") as db:
        (size,) = db.execute("SELECT length(statistics) FROM clips").fetchone()
    db.close()
    assert size <= 700


def test_two_runs_share_one_memo(tmp_path: Path) -> None:
    first, second = (Memo(tmp_path / "memo.sqlite", CONTEXT) for _ in range(2))
    first.put(first.key(REQUEST), REQUEST, _statistics())
    first.commit()
    assert isinstance(second.get(second.key(REQUEST)), ClipStatistics)
    second.put(second.key(replace(REQUEST, size=5)), REQUEST, _statistics())
    second.close()
    first.close()


def test_a_reader_may_write_after_another_run_has_written(tmp_path: Path) -> None:
    first, second = (Memo(tmp_path / "memo.sqlite", CONTEXT) for _ in range(2))
    known, other, third = (first.key(replace(REQUEST, size=size)) for size in range(3))
    first.put(known, REQUEST, _statistics())
    first.commit()
    assert first.first_seen(1, known)
    assert isinstance(first.get(known), ClipStatistics)
    second.put(other, REQUEST, _statistics())
    second.commit()
    first.put(third, REQUEST, _statistics())
    first.commit()
    assert isinstance(second.get(third), ClipStatistics)
    assert isinstance(first.get(other), ClipStatistics)
    second.close()
    first.close()


def test_many_runs_may_make_it_at_once(tmp_path: Path) -> None:
    def use(number: int, path: Path) -> None:
        barrier.wait()
        memo = Memo(path, CONTEXT)
        memo.put(memo.key(replace(REQUEST, size=number)), REQUEST, _statistics())
        memo.close()

    barrier = threading.Barrier(8)
    with ThreadPoolExecutor(8) as runs:
        for trial in range(10):
            path = tmp_path / f"{trial}.sqlite"
            list(runs.map(use, range(8), [path] * 8))
            memo = Memo(path, CONTEXT)
            assert all(memo.get(memo.key(replace(REQUEST, size=number))) for number in range(8))
            memo.close()
