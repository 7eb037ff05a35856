"""A command in a home of its own: what it leaves there, and whether it speaks to other machines."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.processes import HANG

BATCH = "from saliency_engine.cli.app import main; main()"
EXPORT = "from saliency_exporter.cli import main; main()"
STRACE = ("strace", "--seccomp-bpf", "-f", "-qq")
_NOT_INHERITED = ("ORT_DISABLE_TELEMETRY", "SALIENCY_BATCH_HOME", "NUMBA_CACHE_DIR", "MPLCONFIGDIR")


def left_at_home(code: str, *arguments: str | Path, status: int = 0) -> set[str]:
    """Run Python ``code`` in an empty home; returns the folders, two deep, in which it leaves files there.

    XDG's folders are then below the home. Where strace works, nothing may be connected or sent to an Internet address.
    (Sockets alone are no sign: urllib3 makes one to see whether there is IPv6.)
    """
    with tempfile.TemporaryDirectory() as folder:
        home, log = Path(folder, "home"), Path(folder, "sent")
        home.mkdir()
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("XDG_") and k not in _NOT_INHERITED}
        trace = [*STRACE, "-e", "trace=connect,sendto,sendmsg,sendmmsg", "-o", str(log)] if _can_trace() else []
        command = [*trace, sys.executable, "-c", code, *map(str, arguments)]
        environment = {**inherited, "HOME": str(home)}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=HANG, check=False)
        assert done.returncode == status, done.stdout + done.stderr
        sent = log.read_text() if trace else ""
        assert "AF_INET" not in sent, sent
        files = [path.relative_to(home) for path in home.rglob("*") if not path.is_dir()]
        return {"/".join(path.parts[:2]) for path in files}


@functools.cache
def _can_trace() -> bool:
    """Whether strace is installed and may be used; without it only files are looked at."""
    return bool(shutil.which("strace")) and subprocess.run([*STRACE, "true"], check=False).returncode == 0
