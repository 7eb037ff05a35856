"""Tables of JSON lines, written for a run and read after it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any


def write_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    """Write each row as a line; returns ``path``."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def write_clips(path: Path, clips: Iterable[str | Path]) -> Path:
    """A table whose rows name ``clips`` and nothing else."""
    return write_rows(path, ({"src": str(clip)} for clip in clips))


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The objects of all lines."""
    return [json.loads(line) for line in path.read_text().splitlines()]
