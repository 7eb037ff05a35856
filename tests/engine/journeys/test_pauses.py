"""Runs that are suspended and go on, as by Ctrl-Z, a batch system or a frozen container: a pause is no time of work."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.processes import HANG, session_members, start, until
from tests.rows import read_rows, write_clips

TIMEOUT = 5.0


@pytest.fixture
def slow(tmp_path: Path) -> list[Path]:
    """Raw video, each of which takes a tenth of a second to decode: a run is always at one of them."""
    paths = [tmp_path / f"{number}.yuv" for number in range(24)]
    for number, path in enumerate(paths):
        path.touch()
        os.truncate(path, 2048 * 2048 * 3 // 2 * (16 + number))
    return paths


def _suspend_whole_run(leader: int) -> None:
    os.killpg(leader, signal.SIGSTOP)
    time.sleep(TIMEOUT + 1.0)
    os.killpg(leader, signal.SIGCONT)


def _suspend_workers_longer(leader: int) -> None:
    """The run goes on by itself first, and finds its workers stopped."""
    os.killpg(leader, signal.SIGSTOP)
    time.sleep(TIMEOUT + 1.0)
    os.kill(leader, signal.SIGCONT)
    time.sleep(TIMEOUT + 1.5)
    os.killpg(leader, signal.SIGCONT)


def _suspend_again_and_again(leader: int) -> None:
    for _ in range(6):
        os.killpg(leader, signal.SIGSTOP)
        time.sleep(1.0)
        os.killpg(leader, signal.SIGCONT)
        time.sleep(0.02)


@pytest.mark.parametrize("suspend", [_suspend_whole_run, _suspend_workers_longer, _suspend_again_and_again])
def test_a_suspended_run_goes_on(tmp_path: Path, slow: list[Path], suspend: Callable[[int], None]) -> None:
    write_clips(tmp_path / "in.jsonl", slow)
    options = ["--model", "frequency_tuned_v1", "--sampling", "uniform", "--memo", "off"]
    options += ["--default-width", "2048", "--default-height", "2048", "--decode-workers", "1", "--quiet"]
    options += ["--frame-samples", "2"]  # a clip decodes in a fiftieth of its time-out, because machines are busy
    output = tmp_path / "out.jsonl"
    run = start("--input", tmp_path / "in.jsonl", "--output", output, *options, "--clip-timeout", str(TIMEOUT))
    until(lambda: len(session_members(run.pid)) >= 4, "no worker")  # with the fork server and its tracker
    time.sleep(0.3)
    suspend(run.pid)
    _, stderr = run.communicate(timeout=HANG)
    rows = read_rows(output)
    assert [row.get("saliency_error") for row in rows] == [None] * len(slow)
    assert (run.returncode, stderr) == (0, b"")
