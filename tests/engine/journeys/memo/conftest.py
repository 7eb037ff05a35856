"""A folder of clips whose memo is looked at."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tests.clips import Encode
from tests.rows import write_clips


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encode: Encode) -> Path:
    """A folder with four clips of its own, a table of them, and the current one."""
    monkeypatch.chdir(tmp_path)
    names = [f"{width}.mp4" for width in (96, 104, 112, 120)]
    for name in names:
        shutil.copy(encode(name, size=(int(name[:-4]), 96), frames=9), name)
    write_clips(tmp_path / "in.jsonl", names)
    return tmp_path
