"""A process for every trial of a setting.

In one process ONNX Runtime's waiting threads would disturb OpenVINO, and nobody could tell whose memory is whose.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

from saliency_engine.errors import ProviderError, SaliencyError
from saliency_engine.jobs.bench.stopwatch import Job
from saliency_engine.storage.atomic import write_together

ResultT = TypeVar("ResultT")
# TensorRT may take minutes to build its engine; the slowest trial seen on two cores took 15 s.
_LIMIT_SECONDS = 600.0
# Reading a process's memory stops it for a moment (2 ms for 500 MB), so not too often.
_LOOK_SECONDS = 0.2


def run_trial(task: Callable[[Job], ResultT], job: Job) -> tuple[ResultT, float | None]:
    """Call ``task(job)`` in a process of its own; returns its result and the peak memory of process and decoders.

    Memory is the largest sum of their proportional set sizes (PSS: shared pages count once) in 10^6 bytes, ``None``
    where the system does not tell it. Raises the ``SaliencyError`` that ``task`` raises, and ``ProviderError`` when its
    process dies or has no result after ten minutes.
    """
    with TemporaryDirectory(prefix="saliency-bench-") as name:
        folder = Path(name)
        (folder / "job").write_bytes(pickle.dumps((task, job)))
        code = f"import sys; from {__name__} import serve_trial; serve_trial(sys.argv[1])"
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                # -P: modules are not searched for in the current folder.
                [sys.executable, "-P", "-c", code, name],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,  # by their session the process and its decoders are found
            )
        try:
            peak = _watch(process)
        finally:
            _end(process)
        if not (folder / "outcome").exists():
            raise ProviderError(_describe_death(process.returncode, (folder / "log").read_text(errors="replace")))
        outcome = pickle.loads((folder / "outcome").read_bytes())
    if isinstance(outcome, SaliencyError):
        raise outcome
    return outcome, peak


def serve_trial(name: str) -> None:
    """Do the trial that ``run_trial`` has put into the folder ``name``: what its process does."""
    threading.Thread(target=_follow_parent, daemon=True).start()
    folder = Path(name)
    task, job = pickle.loads((folder / "job").read_bytes())
    try:
        outcome = task(job)
    except SaliencyError as error:
        outcome = error
    write_together({folder / "outcome": pickle.dumps(outcome)})


def _follow_parent() -> None:
    """End this process when the one that started it ends, even by kill -9: then its end of the pipe is closed."""
    os.read(0, 1)  # not sys.stdin: Python cannot end in good order while a thread waits in it
    os._exit(1)


def _watch(process: subprocess.Popen[bytes]) -> float | None:
    """Wait for the process to end; returns the peak memory. Raises ``ProviderError`` when it takes too long."""
    peak = 0
    for _ in range(round(_LIMIT_SECONDS / _LOOK_SECONDS)):  # looks are counted, because time goes on in a pause
        try:
            process.wait(_LOOK_SECONDS)
            return peak / 1e6 or None
        except subprocess.TimeoutExpired:
            peak = max(peak, _measure_session_memory(process.pid))
    raise ProviderError(f"its process gave no result in {_LIMIT_SECONDS:.0f} s and was ended")


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the process and what it started, if they have not ended yet."""
    if process.stdin is not None:
        process.stdin.close()
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _measure_session_memory(leader: int) -> int:
    """The memory in bytes (PSS) of all processes of the session of ``leader``; 0 where there is no /proc."""
    total = 0
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if int((entry / "stat").read_text().rpartition(")")[2].split()[3]) == leader:
                lines = (entry / "smaps_rollup").read_text().splitlines()
                total += 1024 * next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
        except (OSError, ValueError, StopIteration):
            continue  # it ended after it was listed
    return total


def _describe_death(exit_code: int, log: str) -> str:
    cause = signal.Signals(-exit_code).name if exit_code < 0 else f"exit status {exit_code}"
    last_line = log.strip().rpartition("\n")[2]
    return f"its process ended without a result ({cause}){': ' if last_line else ''}{last_line[:400]}"
