"""``strided``: the same maps from a last stage with four pixels to a place, where the graph ends that way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import ModelProto, helper
from tests.exporter.upstream import saliency_export
from tests.exporter.variants.checks import check_variant, run_model
from tests.small_models import saliency_model


def make_student(last_pads: int = 1) -> ModelProto:
    """A small network that ends as the students do, every convolution with a bias; it takes any even size."""
    rng = np.random.default_rng(11)

    def draw(*shape: int) -> NDArray[np.float32]:
        return rng.normal(size=shape).astype(np.float32)

    same: dict[str, Any] = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
    nodes = [
        helper.make_node("Conv", ["input", "first", "first_bias"], ["skip"], **same),
        helper.make_node("MaxPool", ["skip"], ["half"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Resize", ["half", "", "twice"], ["large"], mode="linear"),
        helper.make_node("Conv", ["large", "up", "up_bias"], ["narrow"], **same),
        helper.make_node("Concat", ["narrow", "skip"], ["both"], axis=1),
        helper.make_node("Conv", ["both", "last", "last_bias"], ["raw"], kernel_shape=[3, 3], pads=[last_pads] * 4),
        helper.make_node("Relu", ["raw"], ["active"]),
        helper.make_node("Conv", ["active", "head", "head_bias"], ["logits"], kernel_shape=[1, 1]),
        helper.make_node("Sigmoid", ["logits"], ["saliency_map"]),
    ]
    weights = {"first": draw(5, 3, 3, 3), "up": draw(4, 5, 3, 3) * 0.2, "last": draw(3, 9, 3, 3) * 0.1}
    biases = {"first_bias": draw(5), "up_bias": draw(4), "last_bias": draw(3), "head_bias": draw(1)}
    shape: tuple[int | str, ...] = ("h", "w") if last_pads else (48, 64)
    twice = np.array([1, 1, 2, 2], np.float32)
    frames, maps = (1, 3, *shape), (1, 1, *(shape if last_pads else (46, 62)))
    constants = {**weights, **biases, "head": draw(1, 3, 1, 1), "twice": twice}
    return saliency_model(*nodes, frames=frames, maps=maps, **constants)


def test_the_maps_are_the_same_at_every_size_up_to_the_edges(tmp_path: Path) -> None:
    parent, output = tmp_path / "student.onnx", tmp_path / "out.onnx"
    onnx.save(make_student(), parent)
    result = saliency_export("strided", parent, "--output", output)
    assert result.exit_code == 0, result.stderr
    manifest = check_variant(output, parent, "student_strided")
    assert manifest["figures"]["max_abs"] < 1e-5
    convolutions = [node for node in onnx.load(output).graph.node if node.op_type == "Conv"]
    assert [list(helper.get_node_attr_value(node, "kernel_shape")) for node in convolutions[1:3]] == [[4, 4]] * 2
    for height, width in ((2, 2), (6, 10), (32, 20)):
        frames = np.random.default_rng(2).normal(size=(1, 3, height, width)).astype(np.float32)
        expected = run_model(parent, frames)
        assert expected.std() > 0.01
        np.testing.assert_allclose(run_model(output, frames), expected, rtol=0, atol=1e-6)


def test_a_student(models: Path, tmp_path: Path) -> None:
    parent, output = models / "saliency_student_v2.onnx", tmp_path / "out.onnx"
    result = saliency_export("strided", parent, "--output", output)
    assert result.exit_code == 0, result.stderr
    manifest = check_variant(output, parent, "saliency_student_v2_strided")
    assert manifest["figures"]["max_abs"] < 1e-5


@pytest.mark.parametrize("model", ["saliency_open_v1", "frequency_tuned_v1", "narrow.onnx"])
def test_models_that_end_otherwise(model: str, tmp_path: Path) -> None:
    onnx.save(make_student(last_pads=0), tmp_path / "narrow.onnx")
    given = tmp_path / model if model.endswith(".onnx") else model
    result = saliency_export("strided", given, "--output", tmp_path / "out.onnx")
    assert (result.exit_code, "does not end as the VMAFx students do" in result.stderr) == (2, True)
    assert not (tmp_path / "out.onnx").exists()
