"""The decoding processes: what they are prepared with."""

from __future__ import annotations

import importlib.util

from saliency_engine.pipeline import worker


def test_the_modules_that_the_fork_server_imports_exist() -> None:
    """It passes over a module that it cannot import, so that a wrong name would only cost every worker 0.2 s."""
    for name in worker.PRELOADED:
        assert importlib.util.find_spec(name) is not None, name
    assert worker.__name__ in worker.PRELOADED
