"""The command as a process of its own: run to its end, or started to be killed, interrupted and counted."""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

MAIN = (sys.executable, "-c", "from saliency_engine.cli.app import main; main()")
HANG = 600.0
"""Seconds that only a hang takes, however busy the machine is."""
TO_BE_INTERRUPTED = (*MAIN[:2], f"from saliency_engine.cli import signals; signals.GRACE_SECONDS = {HANG}; {MAIN[2]}")
"""As ``MAIN``, but a busy machine has time to stop it in good order: it is not ended after 8 s."""


def saliency_batch(
    *arguments: str | Path, code: int = 0, env: Mapping[str, str] | None = None, **options: Any
) -> subprocess.CompletedProcess[Any]:
    """Run ``saliency-batch`` to its end, which must come with the exit status ``code``; ``env`` is added to ours."""
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "timeout": HANG, **options}
    command = [*MAIN, *map(str, arguments)]
    done = subprocess.run(command, env={**os.environ, **(env or {})}, check=False, **options)
    assert done.returncode == code, done.stderr
    return done


run = partial(saliency_batch, "run")
"""``saliency-batch run`` with arguments; see ``saliency_batch``."""


def start(
    *arguments: str | Path, main: Sequence[str] = MAIN, env: Mapping[str, str] | None = None, **options: Any
) -> subprocess.Popen[bytes]:
    """``saliency-batch run`` with ``arguments``, leader of a session of its own; ``env`` is added to ours."""
    options = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "start_new_session": True, **options}
    return subprocess.Popen([*main, "run", *map(str, arguments)], env={**os.environ, **(env or {})}, **options)


def pasted(script: str, folder: Path, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run commands of a page in ``folder`` as a reader would who pastes them; they must succeed.

    The commands are those of this Python's folder; ``env`` is added to ours.
    """
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", "set -euo pipefail\n" + script],
        cwd=folder,
        env={**os.environ, "PATH": path, **(env or {})},
        capture_output=True,
        text=True,
        check=False,
        timeout=HANG,
    )
    assert done.returncode == 0, f"{script}\n{done.stderr}"
    return done


def without_progress(stderr: bytes) -> list[str]:
    """The lines of a run but those that say how far it is: there is one every half a minute."""
    return [line for line in stderr.decode().splitlines() if not re.match(r"\d{4}-\d\d-\d\dT", line)]


def session_members(leader: int) -> list[int]:
    """Living processes of the session that ``leader`` began."""
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


def shared_memory() -> set[str]:
    """Names of files in /dev/shm. Folders there are other programs' temporary files, not memory."""
    return {path.name for path in Path("/dev/shm").glob("*") if path.is_file()}


def until(condition: Callable[[], bool], failure: str) -> None:
    """Wait for ``condition``; where it hangs, fail with the words ``failure``."""
    deadline = time.monotonic() + HANG
    while not condition():
        assert time.monotonic() < deadline, failure
        time.sleep(0.02)


def finished_clips(memo: Path) -> set[bytes]:
    """The keys in a memo, whatever state a killed run has left it in."""
    if not memo.exists():
        return set()
    db = sqlite3.connect(memo)
    try:
        if not db.execute("SELECT count(*) FROM sqlite_master WHERE name = 'clips'").fetchone()[0]:
            return set()
        return {key for (key,) in db.execute("SELECT key FROM clips")}
    finally:
        db.close()
