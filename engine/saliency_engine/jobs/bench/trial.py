"""A process for every trial.

In one process ONNX Runtime's waiting threads would disturb OpenVINO, and no setting's memory could be told apart.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

from saliency_engine.errors import ProviderError, SaliencyError
from saliency_engine.jobs.bench.stopwatch import Job

ResultT = TypeVar("ResultT")
# TensorRT may take minutes to build its engine; the slowest trial seen on two cores took 15 s.
_LIMIT_SECONDS = 600.0
# Reading a process's memory stops it for a moment (2 ms for 500 MB), so not too often.
_LOOK_SECONDS = 0.2


def run(task: Callable[[Job], ResultT], job: Job) -> tuple[ResultT, float | None]:
    """What ``task`` gives in a process of its own, and the peak memory of that process and its decoders.

    Memory is the largest sum of their proportional set sizes (PSS: shared pages count once) in 10^6 bytes, ``None``
    where the system does not tell. Raises ``SaliencyError`` as ``task`` does, and ``ProviderError`` when its process
    dies, or gives nothing for ten minutes.
    """
    with TemporaryDirectory(prefix="saliency-bench-") as name:
        folder = Path(name)
        (folder / "job").write_bytes(pickle.dumps((task, job)))
        code = "import sys; from saliency_engine.jobs.bench.trial import serve; serve(sys.argv[1])"
        with (folder / "said").open("wb") as said:
            process = subprocess.Popen(
                # -P: the current folder must not be searched for modules; a session: all its processes can be found
                [sys.executable, "-P", "-c", code, name],
                stdin=subprocess.PIPE,
                stdout=said,
                stderr=said,
                start_new_session=True,
            )
        try:
            peak = _watch(process)
        finally:
            _end(process)
        if not (folder / "outcome").exists():
            raise ProviderError(_death(process.returncode, (folder / "said").read_text(errors="replace")))
        outcome = pickle.loads((folder / "outcome").read_bytes())
    if isinstance(outcome, SaliencyError):
        raise outcome
    return outcome, peak


def serve(name: str) -> None:
    """The other side: what the process started by ``run`` does."""
    threading.Thread(target=_follow_parent, daemon=True).start()
    folder = Path(name)
    task, job = pickle.loads((folder / "job").read_bytes())
    try:
        outcome = task(job)
    except SaliencyError as error:
        outcome = error
    (folder / "outcome.partial").write_bytes(pickle.dumps(outcome))
    (folder / "outcome.partial").rename(folder / "outcome")


def _follow_parent() -> None:
    """End this process when the one that started it ends, even by kill -9."""
    os.read(0, 1)  # not sys.stdin: a thread that waits in it cannot be ended in good order
    os._exit(1)


def _watch(process: subprocess.Popen[bytes]) -> float | None:
    """Wait for the end, or for the limit; the peak memory."""
    peak, deadline = 0, time.monotonic() + _LIMIT_SECONDS
    while time.monotonic() < deadline:
        try:
            process.wait(_LOOK_SECONDS)
            return peak / 1e6 or None
        except subprocess.TimeoutExpired:
            peak = max(peak, _session_memory(process.pid))
    raise ProviderError(f"its process gave no result in {_LIMIT_SECONDS:.0f} s and was ended")


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the process and what it started, if they have not ended yet."""
    if process.stdin is not None:
        process.stdin.close()
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _session_memory(leader: int) -> int:
    """Bytes (PSS) of all processes of a session; 0 where there is no /proc."""
    total = 0
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if int((entry / "stat").read_text().rpartition(")")[2].split()[3]) == leader:
                lines = (entry / "smaps_rollup").read_text().splitlines()
                total += 1024 * next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
        except (OSError, ValueError, StopIteration):
            continue  # it ended between the listing and the reading
    return total


def _death(code: int, said: str) -> str:
    cause = signal.Signals(-code).name if code < 0 else f"exit status {code}"
    last = said.strip().rpartition("\n")[2]
    return f"its process ended without a result ({cause}){': ' if last else ''}{last[:400]}"
