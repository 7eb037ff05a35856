"""A table of clips to measure."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.clips import Encode
from tests.rows import write_rows


@pytest.fixture
def table(tmp_path: Path, encode: Encode) -> Path:
    """Two clips, one of them twice, and one that is missing."""
    paths = [encode(f"{name}.mp4", source=name, frames=80, size=(160, 96)) for name in ("bikes", "carphone_pristine")]
    return write_rows(tmp_path / "in.jsonl", [{"src": str(path)} for path in (*paths, tmp_path / "no.mp4", paths[0])])
