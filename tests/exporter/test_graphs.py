"""Graphs that are no model, and graphs that loaders would refuse."""

from __future__ import annotations

from pathlib import Path

from onnx import helper
from tests.exporter.upstream import saliency_export
from tests.exporter.variants.checks import save_model


def test_inputs_that_are_no_model(tmp_path: Path) -> None:
    wrong = tmp_path / "model.onnx"
    wrong.write_bytes(b"not an ONNX file")
    result = saliency_export("fp16", wrong, "--output", tmp_path / "o.onnx")
    assert (result.exit_code, "not a valid ONNX model" in result.stderr) == (2, True)
    result = saliency_export("fp16", tmp_path / "absent.onnx", "--output", tmp_path / "o.onnx")
    assert (result.exit_code, "No such file" in result.stderr) == (2, True)
    assert list(tmp_path.iterdir()) == [wrong]


def test_operators_that_loaders_refuse(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("ReduceMean", ["input"], ["mean"], axes=[1], keepdims=1),
        helper.make_node("Sin", ["mean"], ["saliency_map"]),
    ]
    parent = save_model(tmp_path / "sine.onnx", nodes, {})
    result = saliency_export("fp16", parent, "--output", tmp_path / "o.onnx")
    assert (result.exit_code, "operators that loaders refuse: Sin" in result.stderr) == (2, True)
