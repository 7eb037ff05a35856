"""Ctrl-C, SIGTERM, a closed terminal: the run stops, keeps what it has, and leaves nothing else."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from tests.processes import HANG, TO_BE_INTERRUPTED, finished_clips, session_members, start, until, without_progress


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_keeps_its_clips_and_leaves_nothing_else(
    tmp_path: Path, forty: list[Path], number: signal.Signals
) -> None:
    # Megabytes of rows through a pipe that does not end: the run is at work, or waiting, whenever the signal comes.
    named = forty[:16]
    rows = "".join(json.dumps({"src": str(path), "long": "x" * 150_000}) + "\n" for path in named).encode()
    output, memo = tmp_path / "out" / "out.jsonl", tmp_path / "memo.sqlite"
    output.parent.mkdir()
    options: list[str | Path] = ["--input", "-", "--output", output, "--model", "frequency_tuned_v1"]
    options += ["--memo", memo, "--audit-json", tmp_path / "audit.json"]
    run = start(*options, main=TO_BE_INTERRUPTED, stdin=subprocess.PIPE)
    assert run.stdin is not None
    run.stdin.write(rows)
    until(lambda: run.poll() is not None or len(finished_clips(memo)) > 0, "no clip")
    os.killpg(run.pid, number)  # as a terminal does: every process of the run hears it
    run.wait(HANG)
    assert run.stderr is not None
    last_line = "interrupted; run the same command again to go on: finished clips are in the memo"
    assert without_progress(run.stderr.read()) == ["frequency_tuned_v1 on CPUExecutionProvider", last_line]
    run.communicate()
    assert run.returncode == 128 + number
    assert list(output.parent.iterdir()) == []
    until(lambda: not session_members(run.pid), "processes outlived the run")
    finished = len(finished_clips(memo))
    again = start(*options, stdin=subprocess.PIPE)
    again.communicate(rows, timeout=HANG)
    clips = json.loads((tmp_path / "audit.json").read_text())["clips"]
    assert (clips["reused"], clips["computed"]) == (finished, 16 - finished)


BEGINNING = """
import fcntl, os, signal, sys
from pathlib import Path
from saliency_engine.cli import signals
from saliency_engine.storage import atomic
signals.listen()
flock = fcntl.flock
def slowly(*arguments):  # the file is there, and not locked yet
    os.kill(os.getpid(), signal.SIGINT)
    flock(*arguments)
fcntl.flock = slowly
try:
    atomic.write_together({Path(sys.argv[1]): b"whole"})
    signal.pause()
except signals.Interrupted:
    print("interrupted")
"""


def test_a_signal_while_an_output_begins_leaves_no_part_of_it(tmp_path: Path) -> None:
    script = [sys.executable, "-c", BEGINNING, str(tmp_path / "out")]
    done = subprocess.run(script, capture_output=True, check=True, timeout=HANG)
    assert (done.stdout, done.stderr) == (b"interrupted\n", b"")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


STUCK = """
import hashlib, sys, time
from saliency_engine.cli import signals
signals.GRACE_SECONDS = float(sys.argv[1])
signals.listen()
while True:
    try:
        print("ready", flush=True)
        hashlib.pbkdf2_hmac("sha256", b"", b"", 2**31 - 1)  # minutes in C, as a model may take
    except signals.Interrupted:
        pass  # it came a moment too early
"""


def _stuck(grace: float, **options: Any) -> subprocess.Popen[bytes]:
    process = subprocess.Popen([sys.executable, "-c", STUCK, str(grace)], stdout=subprocess.PIPE, **options)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    return process


def test_a_process_stuck_in_a_library_ends_all_the_same() -> None:
    with _stuck(grace=2.0) as process:
        process.send_signal(signal.SIGTERM)
        assert process.wait(HANG) == 143


def test_a_second_signal_ends_it_at_once() -> None:
    with _stuck(grace=600.0) as process:
        process.send_signal(signal.SIGINT)
        while process.poll() is None:  # a terminal's user presses again and again
            time.sleep(0.5)
            process.send_signal(signal.SIGINT)
        assert process.returncode == 130


IN_A_FINALIZER = """
import os, signal, time
from saliency_engine.cli import signals
class Lost:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(1.0)  # Python drops what is raised here
signals.listen()
try:
    Lost()
    time.sleep(60.0)
except signals.Interrupted:
    print("stopped", signals.exit_status())
"""


def test_a_signal_that_comes_in_a_finalizer_is_not_lost() -> None:
    done = subprocess.run(
        [sys.executable, "-c", IN_A_FINALIZER], capture_output=True, text=True, check=False, timeout=HANG
    )
    assert (done.stdout, done.stderr) == ("stopped 130\n", "")


def test_what_nohup_has_ignored_stays_ignored() -> None:
    def ignore() -> None:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    with _stuck(grace=1.0, preexec_fn=ignore) as process:
        process.send_signal(signal.SIGHUP)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(3.0)
        process.send_signal(signal.SIGTERM)
        assert process.wait(HANG) == 143
