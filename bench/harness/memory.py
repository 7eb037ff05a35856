"""Peak memory of a command and everything it starts."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

COMMAND = [sys.executable, "-c", "from saliency_engine.cli.app import main; main()", "run", "--quiet"]
"""``saliency-batch run --quiet``, of the interpreter at hand."""


def model_options(model: Path) -> list[str]:
    """The options that choose ``model``: an ONNX file with its own sha256, or the id of a registered model."""
    if not model.suffix:
        return ["--model", str(model)]
    return ["--model-path", str(model), "--model-sha256", hashlib.sha256(model.read_bytes()).hexdigest()]


class Measured(NamedTuple):
    """What a command took."""

    seconds: float
    peak_mb: float
    """The largest sum of its processes' proportional set sizes, in 10^6 bytes."""


def measure(command: Sequence[str], every: float = 0.03) -> Measured:
    """Run ``command`` and read the proportional set sizes (PSS) of all its processes every ``every`` seconds.

    A page that several processes share counts once. Exits when the command fails.
    """
    started, peak = time.perf_counter(), 0
    process = subprocess.Popen(command, start_new_session=True)
    while process.poll() is None:
        peak = max(peak, _session_pss(process.pid))
        time.sleep(every)
    if process.returncode:
        sys.exit(f"the command failed: {' '.join(command)}")
    return Measured(round(time.perf_counter() - started, 2), round(peak / 1e6, 1))


def _session_pss(leader: int) -> int:
    """PSS of all processes of a session, in bytes."""
    total = 0
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if int((entry / "stat").read_text().rpartition(")")[2].split()[3]) == leader:
                rollup = (entry / "smaps_rollup").read_text()
                total += next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:")) * 1024
        except (OSError, ValueError, StopIteration):
            continue  # it ended between the listing and the reading
    return total
