"""Partial files that cannot be cleared away."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest

from saliency_engine.storage.atomic import PartialFile


def test_the_lock_goes_even_where_the_partial_file_cannot_be_removed(tmp_path: Path) -> None:
    file = PartialFile(str(tmp_path / "table"))
    partial, still_there = tmp_path / "table.partial", tmp_path / "linked"
    os.link(partial, still_there)
    partial.unlink()
    partial.mkdir()
    with still_there.open("rb") as handle:
        with pytest.raises(BlockingIOError):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with pytest.raises(IsADirectoryError):
            file.release()
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
