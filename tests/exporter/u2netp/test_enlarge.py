"""Sizes become factors where they enlarge alike, and stay where they do not."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import ModelProto, helper
from tests.small_models import enlarging, saliency_model

from saliency_engine.models.graph.framewise import frames_apart
from saliency_exporter.graphs import compute_maps
from saliency_exporter.u2netp.enlarge import enlarge_by_factors

KERNEL = np.random.default_rng(1).standard_normal((1, 3, 3, 3)).astype(np.float32)


def _enlarge(model: ModelProto) -> ModelProto:
    changed = ModelProto()
    changed.CopyFrom(model)
    enlarge_by_factors(changed)
    onnx.checker.check_model(changed, full_check=True)
    return changed


@pytest.mark.parametrize("kept", [1, 2])
def test_factors_give_the_same_maps_without_the_nodes_that_made_the_size(kept: int) -> None:
    model = enlarging(KERNEL, kept=kept)
    changed = _enlarge(model)
    assert [node.op_type for node in changed.graph.node] == ["Conv", "Constant", "Resize", "Sigmoid"]
    assert frames_apart(changed.SerializeToString())
    frames = np.random.default_rng(2).standard_normal((3, 3, 32, 48)).astype(np.float32)
    before, after = (compute_maps(made.SerializeToString(), frames) for made in (model, changed))
    np.testing.assert_array_equal(before, after)
    assert before.std() > 0.1


def test_a_size_that_no_factor_gives_stays_a_size() -> None:
    """7 · (31 / 7) is less than 31 in float32."""
    resize = helper.make_node("Resize", ["input", "", "", "size"], ["saliency_map"], mode="nearest")
    model = saliency_model(resize, frames=(1, 3, 7, 8), maps=(1, 3, 31, 8), size=np.array([1, 3, 31, 8]))
    assert [list(node.input) for node in _enlarge(model).graph.node] == [["input", "", "", "size"]]
