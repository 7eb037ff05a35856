"""A model beside the built-in ones."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.small_models import miniature


@pytest.fixture
def other_model(tmp_path: Path) -> Path:
    path = tmp_path / "other_v1.onnx"
    path.write_bytes(miniature().SerializeToString())
    return path
