"""Kill, hang and collide: the run goes on, or the next one ends as if nothing had happened."""

from __future__ import annotations

import fcntl
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from tests.conftest import Encode

from saliency_engine.errors import DecodeError
from saliency_engine.pool import DecodePool
from saliency_engine.types import ClipRequest, DecodedClip, DecodeSpec

SPEC = DecodeSpec(width=64, height=64, sampling="head", max_frames=4, frame_samples=4, color="auto")


def _start(*arguments: str | Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", "from saliency_engine.cli import main; main()", "run", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True)


def _session_members(leader: int) -> list[int]:
    members = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                state, _, _, session = (entry / "stat").read_text().rpartition(")")[2].split()[:4]
            except OSError:
                continue
            if int(session) == leader and state != "Z":
                members.append(int(entry.name))
    return members


def _until(condition: Callable[[], bool], told: str) -> None:
    deadline = time.monotonic() + 30.0
    while not condition():
        assert time.monotonic() < deadline, told
        time.sleep(0.02)


@pytest.fixture
def table(tmp_path: Path, encode: Encode) -> Path:
    """Forty clips, all different."""
    sources = ("bikes", "bigbuckbunny", "carphone_pristine", "carphone_distorted")
    paths = [
        encode(f"kill-{source}-{width}.mp4", source=source, size=(width, 96), frames=9)
        for source in sources
        for width in range(96, 176, 8)
    ]
    rows = "".join(json.dumps({"src": str(path), "n": number}) + "\n" for number, path in enumerate(paths))
    (tmp_path / "in.jsonl").write_text(rows)
    return tmp_path / "in.jsonl"


def test_twenty_kills_lose_nothing_and_repeat_nothing(tmp_path: Path, table: Path) -> None:
    def arguments(folder: Path) -> list[str | Path]:
        folder.mkdir(exist_ok=True)
        options = ("--model", "frequency_tuned_v1", "--audit-json", folder / "audit.json")
        return ["--input", table, "--output", folder / "out.jsonl", *options]

    started = time.monotonic()
    undisturbed = _start(*arguments(tmp_path / "undisturbed"))
    assert undisturbed.wait(120) == 0
    undisturbed.communicate()
    seconds = time.monotonic() - started
    expected = (tmp_path / "undisturbed" / "out.jsonl").read_bytes()
    generator, shared = random.Random(7), set(Path("/dev/shm").iterdir())
    for trial in range(4):
        folder = tmp_path / f"trial-{trial}"
        finished: set[bytes] = set()
        for _ in range(5):
            process = _start(*arguments(folder))
            try:
                process.wait(generator.uniform(0.2, seconds))
            except subprocess.TimeoutExpired:
                process.kill()
            process.communicate()
            _until(lambda leader=process.pid: not _session_members(leader), "processes outlived the killed run")  # type: ignore[misc]
            if (folder / "out.jsonl").exists():  # ended, or killed between its last rename and its end
                assert (folder / "out.jsonl").read_bytes() == expected
                break
            now = _finished(folder)
            assert finished <= now
            finished = now
        (folder / "audit.json").unlink(missing_ok=True)
        finished = _finished(folder)
        process = _start(*arguments(folder))
        assert process.wait(120) == 0
        process.communicate()
        clips = json.loads((folder / "audit.json").read_text())["clips"]
        assert (clips["computed"], clips["reused"]) == (40 - len(finished), len(finished))
        assert (folder / "out.jsonl").read_bytes() == expected
        assert not (folder / "out.jsonl.partial").exists()
    assert set(Path("/dev/shm").iterdir()) <= shared


def _finished(folder: Path) -> set[bytes]:
    memo = folder / "out.jsonl.memo.sqlite"
    if not memo.exists():
        return set()
    db = sqlite3.connect(memo)
    try:
        if not db.execute("SELECT count(*) FROM sqlite_master WHERE name = 'clips'").fetchone()[0]:
            return set()
        return {key for (key,) in db.execute("SELECT key FROM clips")}
    finally:
        db.close()


def test_a_second_run_on_one_output_is_refused(tmp_path: Path, table: Path) -> None:
    partial = tmp_path / "out.jsonl.partial"
    options = ("--input", table, "--output", tmp_path / "out.jsonl", "--model", "frequency_tuned_v1")
    with partial.open("wb") as held:  # what a run in progress holds
        fcntl.flock(held, fcntl.LOCK_EX)
        second = _start(*options)
        _, told = second.communicate(timeout=60)
        assert second.returncode == 2
        assert b"OutputError" in told
        assert b"out.jsonl" in told
        assert partial.exists()
    third = _start(*options)
    third.communicate(timeout=120)
    assert third.returncode == 0


# The pool


@pytest.fixture
def pool() -> Iterator[DecodePool]:
    pool = DecodePool(SPEC, workers=1, slots=2, timeout=20.0)
    yield pool
    pool.close()


def _request(path: Path) -> ClipRequest:
    found = path.stat()
    return ClipRequest(str(path), found.st_size, found.st_mtime_ns)


def _outcome(pool: DecodePool) -> DecodedClip | Exception:
    done: list[tuple[ClipRequest, int, DecodedClip | Exception]] = []

    def arrived() -> bool:
        done.extend(pool.collect())
        return bool(done)

    _until(arrived, "no outcome")
    ((_, slot, outcome),) = done
    pool.release(slot)
    return outcome


def _worker(pool: DecodePool) -> int:
    process = pool._workers[0].process
    assert process.pid is not None
    return process.pid


def test_a_killed_worker_costs_one_clip(pool: DecodePool, clips: dict[str, Path]) -> None:
    request = _request(clips["bigbuckbunny"])
    pool.submit(request)
    assert isinstance(_outcome(pool), DecodedClip)
    os.kill(_worker(pool), signal.SIGSTOP)
    pool.submit(request)
    os.kill(_worker(pool), signal.SIGKILL)
    outcome = _outcome(pool)
    assert isinstance(outcome, DecodeError)
    assert "SIGKILL" in str(outcome)
    pool.submit(request)
    assert isinstance(_outcome(pool), DecodedClip)


def test_a_worker_killed_while_idle_costs_nothing(pool: DecodePool, clips: dict[str, Path]) -> None:
    request = _request(clips["bigbuckbunny"])
    pool.submit(request)
    assert isinstance(_outcome(pool), DecodedClip)
    process = pool._workers[0].process
    process.kill()
    process.join()
    pool.submit(request)
    assert isinstance(_outcome(pool), DecodedClip)


def test_a_hanging_worker_is_stopped_at_its_time_out(clips: dict[str, Path]) -> None:
    pool = DecodePool(SPEC, workers=1, slots=2, timeout=3.0)
    try:
        request = _request(clips["bigbuckbunny"])
        pool.submit(request)
        assert isinstance(_outcome(pool), DecodedClip)
        os.kill(_worker(pool), signal.SIGSTOP)
        pool.submit(request)
        outcome = _outcome(pool)
        assert isinstance(outcome, DecodeError)
        assert "--clip-timeout 3 s" in str(outcome)
        pool.submit(request)
        assert isinstance(_outcome(pool), DecodedClip)
    finally:
        pool.close()


def test_frames_arrive_through_shared_memory(pool: DecodePool, clips: dict[str, Path]) -> None:
    from saliency_engine.decode import decode_clip

    request = _request(clips["bikes"])
    here = np.zeros((4, 3, 64, 64), np.uint16)
    expected = decode_clip(request, SPEC, here)
    pool.submit(request)
    outcome = _outcome(pool)
    assert isinstance(outcome, DecodedClip)
    assert outcome.motion == expected.motion
    assert any(np.array_equal(slot, here) for slot in pool.frames)
