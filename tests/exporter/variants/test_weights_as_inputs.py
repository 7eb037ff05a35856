"""Graphs of older exporters list their weights among the inputs, before the frames or behind them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from tests.exporter.upstream import saliency_export
from tests.exporter.variants.checks import check_variant, run_model, save_model

from saliency_exporter.sample_frames import draw_natural


def with_weights_as_inputs(path: Path, *, first: bool, version: int) -> Path:
    model = onnx.load(path)
    frames = onnx.ValueInfoProto.FromString(model.graph.input[0].SerializeToString())
    weights = [
        helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims) for tensor in model.graph.initializer
    ]
    del model.graph.input[:]
    model.graph.input.extend([*weights, frames] if first else [frames, *weights])
    model.ir_version = version
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return path


@pytest.fixture(params=["first", "last", "first, IR version 3"])
def parent(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    random = np.random.default_rng(1)
    nodes = [
        helper.make_node("Conv", ["input", "a"], ["b"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["b"], ["c"]),
        helper.make_node("Conv", ["c", "d"], ["e"], pads=[1, 1, 1, 1]),
        helper.make_node("Sigmoid", ["e"], ["saliency_map"]),
    ]
    weights = {
        "a": random.normal(0, 0.2, (4, 3, 3, 3)).astype(np.float32),
        "d": random.normal(0, 0.2, (1, 4, 3, 3)).astype(np.float32),
    }
    path = save_model(tmp_path / "parent.onnx", nodes, weights)
    version = 3 if "3" in request.param else 8
    return with_weights_as_inputs(path, first=request.param.startswith("first"), version=version)


def test_fix_shape(parent: Path, tmp_path: Path) -> None:
    output = tmp_path / "parent_64x48_b2.onnx"
    result = saliency_export("fix-shape", parent, "--output", output, "--batch", 2, "--height", 48, "--width", 64)
    assert result.exit_code == 0, result.stderr
    check_variant(output, parent, "parent_64x48_b2")
    frames = draw_natural(2, 48, 64)
    alone = np.concatenate([run_model(parent, frame[None]) for frame in frames])
    np.testing.assert_allclose(run_model(output, frames), alone, rtol=0, atol=1e-5)


def test_fp16(parent: Path, tmp_path: Path) -> None:
    output = tmp_path / "parent_fp16.onnx"
    result = saliency_export("fp16", parent, "--output", output)
    assert result.exit_code == 0, result.stderr
    check_variant(output, parent, "parent_fp16")
    assert {tensor.data_type for tensor in onnx.load(output).graph.initializer} == {TensorProto.FLOAT16}


def test_int8(parent: Path, tmp_path: Path, short_clips: list[Path]) -> None:
    output = tmp_path / "parent_int8.onnx"
    calibration = [word for path in short_clips for word in ("--calibration", path)]
    result = saliency_export("int8", parent, "--output", output, *calibration)
    assert result.exit_code == 0, result.stderr
    check_variant(output, parent, "parent_int8")
