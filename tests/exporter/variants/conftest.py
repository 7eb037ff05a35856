"""Models and clips that variants are made of and measured on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import helper
from tests.clips import Encode
from tests.exporter.variants.checks import save_model


@pytest.fixture(scope="module")
def short_clips(encode: Encode) -> list[Path]:
    """Two clips of twelve frames."""
    return [encode("short.mp4"), encode("short2.mp4", source="bigbuckbunny")]


@pytest.fixture
def delicate(tmp_path: Path) -> Path:
    """The difference of two large tensors that are nearly the same: no rounding of either is forgiven."""
    first = np.zeros((2, 3, 1, 1), np.float32)
    first[:, 0], first[1, 1] = 1.0, 0.001
    second = np.array([-1000.0, 1000.0], np.float32).reshape(1, 2, 1, 1)
    nodes = [
        helper.make_node("Conv", ["input", "first"], ["both"]),
        helper.make_node("Conv", ["both", "second"], ["difference"]),
        helper.make_node("Sigmoid", ["difference"], ["saliency_map"]),
    ]
    return save_model(tmp_path / "delicate.onnx", nodes, {"first": first, "second": second})
