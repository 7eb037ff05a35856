"""The decoding processes: what they are prepared with."""

from __future__ import annotations

import subprocess
import sys

from saliency_engine.pipeline import worker

_CHECK = """
import gc, importlib, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
needed = {"av", "numba.np.arraymath", "saliency_engine.pipeline.worker", "saliency_engine.video.probe"}
assert not needed - sys.modules.keys(), needed - sys.modules.keys()
assert "scipy.linalg" not in sys.modules
assert gc.isenabled() and gc.get_freeze_count() > 100_000
import scipy.linalg
"""


def test_the_fork_server_loads_what_workers_need_and_no_more() -> None:
    """It passes over a module that it cannot import, so that a wrong name would only cost every worker 0.5 s."""
    subprocess.run([sys.executable, "-c", _CHECK, *worker.PRELOADED], check=True)
