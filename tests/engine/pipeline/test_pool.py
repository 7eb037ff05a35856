"""Decoding processes that die, hang or have no memory: their clips are tried again, and the pool stays whole."""

from __future__ import annotations

import multiprocessing.forkserver
import os
import resource
import shutil
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import pytest
from tests.clips import Encode
from tests.processes import until

from saliency_engine.errors import DecodeError
from saliency_engine.pipeline.outcomes import DecodedInRing, NotDecoded, Probed
from saliency_engine.pipeline.pool import DecodePool
from saliency_engine.samplings import Head
from saliency_engine.types import ClipRequest, DecodedClip, DecodeSpec, RawFormat

SPEC = DecodeSpec(width=64, height=64, sampling=Head(4, 4), color="auto")


@pytest.fixture
def pool() -> Iterator[DecodePool]:
    pool = DecodePool(SPEC, workers=1, ring_slots=2, timeout=60.0)
    yield pool
    pool.close()


def _request(path: Path) -> ClipRequest:
    file = path.stat()
    return ClipRequest(str(path), file.st_size, file.st_mtime_ns)


_kept: WeakKeyDictionary[DecodePool, list[DecodedInRing | Probed | NotDecoded]] = WeakKeyDictionary()


def _outcome(pool: DecodePool) -> DecodedClip | Exception:
    """The next one; where others have arrived with it, they are kept for the next call."""
    kept = _kept.setdefault(pool, [])

    def arrived() -> bool:
        kept.extend(pool.collect())
        return bool(kept)

    until(arrived, "no outcome")
    match kept.pop(0):
        case NotDecoded(error=error):
            return error
        case DecodedInRing(decoded=decoded, ring_slot=ring_slot):
            pool.release(ring_slot)
            return decoded
        case other:
            pytest.fail(f"{other} where clips are decoded")


def _worker(pool: DecodePool, index: int = 0) -> int:
    process = pool._workers[index].process
    assert process.pid is not None
    return process.pid


def _stop_workers_before_their_job(pool: DecodePool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every worker is stopped before it is given its clip, so that a test can kill it in the middle of it."""
    give = pool._give

    def stopping(index: int, *job: Any) -> None:
        os.kill(_worker(pool, index), signal.SIGSTOP)
        give(index, *job)

    monkeypatch.setattr(pool, "_give", stopping)


def _kill(stopped: int, number: signal.Signals) -> None:
    os.kill(stopped, number)
    os.kill(stopped, signal.SIGCONT)  # all but SIGKILL wait for it, and come before the next instruction


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_a_clip_whose_worker_was_killed_is_tried_again(
    pool: DecodePool, clips: dict[str, Path], number: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        _stop_workers_before_their_job(pool, patch)
        pool.submit(_request(clips["bigbuckbunny"]))
    first = _worker(pool)
    _kill(first, number)
    assert isinstance(_outcome(pool), DecodedClip)
    assert _worker(pool) != first


def test_a_clip_that_kills_two_workers_fails_and_the_pool_stays_whole(
    clips: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = DecodePool(SPEC, workers=2, ring_slots=3, timeout=60.0)
    try:
        pool.submit(_request(clips["carphone_pristine"]))
        assert isinstance(_outcome(pool), DecodedClip)
        with monkeypatch.context() as patch:
            _stop_workers_before_their_job(pool, patch)
            pool.submit(_request(clips["bigbuckbunny"]))
            (job,) = [worker.job for worker in pool._workers if worker.job]
            for number in (signal.SIGSEGV, signal.SIGKILL):
                (index,) = [i for i, worker in enumerate(pool._workers) if worker.job]
                victim = _worker(pool, index)
                _kill(victim, number)
                if number is signal.SIGSEGV:  # given to another worker, in the same ring slot
                    until(lambda i=index, pid=victim: not pool.collect() and _worker(pool, i) != pid, "no retry")  # type: ignore[misc]
                    assert pool._workers[index].job == job
            outcome = _outcome(pool)
        assert isinstance(outcome, DecodeError)
        assert "SIGSEGV, SIGKILL; SIGKILL often means that the machine ran out of memory" in str(outcome)
        for name in ("bikes", "carphone_distorted"):  # both workers are there
            assert pool.ready
            pool.submit(_request(clips[name]))
        for _ in range(2):
            assert isinstance(_outcome(pool), DecodedClip)
    finally:
        pool.close()


def test_a_worker_without_memory_is_replaced(pool: DecodePool, encode: Encode) -> None:
    # Raw, because the H.264 decoder calls want of memory invalid data.
    raw = encode("large.yuv", size=(3840, 2160), frames=4)
    request = replace(_request(raw), raw=RawFormat(3840, 2160, "yuv420p"))
    pool.submit(request)
    assert isinstance(_outcome(pool), DecodedClip)
    limited = _worker(pool)
    used = int(Path(f"/proc/{limited}/statm").read_text().split()[0]) * resource.getpagesize()
    resource.prlimit(limited, resource.RLIMIT_AS, (used + (8 << 20), used + (8 << 20)))
    pool.submit(request)
    assert isinstance(_outcome(pool), DecodedClip)
    assert _worker(pool) != limited


def test_the_pool_outlives_its_fork_server(pool: DecodePool, clips: dict[str, Path]) -> None:
    pool.submit(_request(clips["bigbuckbunny"]))
    assert isinstance(_outcome(pool), DecodedClip)
    server: Any = multiprocessing.forkserver._forkserver
    os.kill(server._forkserver_pid, signal.SIGKILL)
    os.kill(_worker(pool), signal.SIGKILL)
    pool.submit(_request(clips["bikes"]))
    assert isinstance(_outcome(pool), DecodedClip)


def test_a_clip_changed_while_it_was_read_is_no_result(
    pool: DecodePool, tmp_path: Path, clips: dict[str, Path]
) -> None:
    copy = tmp_path / "copy.mp4"
    shutil.copyfile(clips["bikes"], copy)
    request = _request(copy)
    os.utime(copy, ns=(0, request.mtime_ns + 1))
    pool.submit(request)
    outcome = _outcome(pool)
    assert isinstance(outcome, DecodeError)
    assert "changed while it was being read" in str(outcome)


def test_a_worker_killed_while_idle_costs_nothing(pool: DecodePool, clips: dict[str, Path]) -> None:
    request = _request(clips["bigbuckbunny"])
    pool.submit(request)
    assert isinstance(_outcome(pool), DecodedClip)
    process = pool._workers[0].process
    process.kill()
    process.join()
    pool.submit(request)
    assert isinstance(_outcome(pool), DecodedClip)


def test_a_worker_is_replaced_after_many_clips(
    pool: DecodePool, clips: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("saliency_engine.pipeline.pool._CLIPS_PER_WORKER", 2)
    workers = []
    for _ in range(4):
        workers.append(_worker(pool))
        pool.submit(_request(clips["carphone_pristine"]))
        assert isinstance(_outcome(pool), DecodedClip)
    assert workers[0] == workers[1] != workers[2] == workers[3]


def test_a_hanging_worker_is_stopped_at_its_time_out(
    pool: DecodePool, encode: Encode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = encode("whole.h264", size=(160, 96), frames=4)
    endless = Path(shutil.copyfile(whole, tmp_path / "endless.h264"))
    os.truncate(endless, 1 << 40)
    request = _request(whole)
    pool.submit(request)
    assert isinstance(_outcome(pool), DecodedClip)
    with monkeypatch.context() as short:
        short.setattr(pool, "_timeout", 1.0)  # for what hangs alone: a busy machine may take as long for what does not
        with monkeypatch.context() as patch:
            _stop_workers_before_their_job(pool, patch)  # the first one, and the one that takes its place
            pool.submit(request)
            stopped = _outcome(pool)
        pool.submit(_request(endless))
        for outcome in (stopped, _outcome(pool)):
            assert isinstance(outcome, DecodeError)
            assert "--clip-timeout 1 s" in str(outcome)
    pool.submit(request)
    assert isinstance(_outcome(pool), DecodedClip)


def test_a_clip_whose_worker_was_stopped_gets_another_worker(
    pool: DecodePool, clips: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = _worker(pool)
    os.kill(first, signal.SIGSTOP)

    def is_replaced() -> bool:
        assert not pool.collect(), "its clip was given up"
        return _worker(pool) != first

    with monkeypatch.context() as short:
        short.setattr(pool, "_timeout", 1.0)
        pool.submit(_request(clips["bigbuckbunny"]))
        until(is_replaced, "no other worker")
    assert isinstance(_outcome(pool), DecodedClip)


def test_frames_arrive_through_shared_memory(pool: DecodePool, clips: dict[str, Path]) -> None:
    from saliency_engine.video.decode import decode_clip

    request = _request(clips["bikes"])
    here = np.zeros((4, 3, 64, 64), np.uint16)
    expected = decode_clip(request, SPEC, here)
    pool.submit(request)
    outcome = _outcome(pool)
    assert isinstance(outcome, DecodedClip)
    assert outcome.motion == expected.motion
    assert any(np.array_equal(frames, here) for frames in pool.frames)
