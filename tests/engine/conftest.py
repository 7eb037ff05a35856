"""A model of nobody's, and a folder of one's own to install models in."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from tests.small_models import miniature

from saliency_engine.cli import app


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty model folder of this test's own, where models are looked for."""
    monkeypatch.setenv("SALIENCY_BATCH_HOME", str(tmp_path / "home"))
    return tmp_path / "home" / "models"


@pytest.fixture
def mini(tmp_path: Path) -> Path:
    """A small model of nobody's."""
    path = tmp_path / "mini.onnx"
    path.write_bytes(miniature().SerializeToString())
    return path


@pytest.fixture
def licence(tmp_path: Path) -> Path:
    path = tmp_path / "LICENSE"
    path.write_text("do what you like\n")
    return path


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def command(*arguments: str | Path) -> None:
    """Run saliency-batch in this process; errors come out as exceptions."""
    app.main_group.main(list(map(str, arguments)), standalone_mode=False)
