"""Long fault campaigns for `make torture`. Their figures are kept in ``results/`` and stand in docs/reliability.md."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any, Protocol

import orjson
import pytest

RESULTS = Path(__file__).parent / "results"
SCALE = float(os.environ.get("TORTURE_SCALE", "1"))


def times(count: int) -> int:
    """``count`` repetitions, or the share of them that the environment variable ``TORTURE_SCALE`` (0 to 1) asks for."""
    return max(1, round(count * SCALE))


class Record(Protocol):
    """Keeps a campaign's figures (JSON values) under ``name``, e.g. ``record("01-kills", kills=300, differing=0)``."""

    def __call__(self, name: str, **figures: Any) -> None: ...


@pytest.fixture
def record() -> Record:
    """Prints the figures and, in a campaign of full length, writes them to ``results/<name>.json``."""
    started = time.monotonic()

    def keep(name: str, **figures: Any) -> None:
        figures["seconds"] = round(time.monotonic() - started)
        print(f"\n{name}: {figures}")
        if SCALE == 1:
            data = orjson.dumps(figures, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
            (RESULTS / f"{name}.json").write_bytes(data)

    return keep
