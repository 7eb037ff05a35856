"""Graphs that are no model, and graphs that loaders would refuse."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from onnx import ModelProto, NodeProto, helper
from tests.exporter.upstream import saliency_export
from tests.exporter.variants.checks import save_model
from tests.small_models import miniature

from saliency_engine.errors import ModelError
from saliency_exporter.graphs import NEWEST_IR, finish_model


def test_inputs_that_are_no_model(tmp_path: Path) -> None:
    wrong = tmp_path / "model.onnx"
    wrong.write_bytes(b"not an ONNX file")
    result = saliency_export("fp16", wrong, "--output", tmp_path / "o.onnx")
    assert (result.exit_code, "not a valid ONNX model" in result.stderr) == (2, True)
    result = saliency_export("fp16", tmp_path / "absent.onnx", "--output", tmp_path / "o.onnx")
    assert (result.exit_code, "No such file" in result.stderr) == (2, True)
    assert list(tmp_path.iterdir()) == [wrong]


def test_a_parent_whose_name_is_no_text(tmp_path: Path) -> None:
    parent = tmp_path / os.fsdecode(b"model\xff.onnx")
    parent.write_bytes(miniature().SerializeToString())
    result = saliency_export("fp16", parent, "--output", tmp_path / "o.onnx")
    assert result.exit_code == 2
    assert "does not state a model's id, and its name, which would be the id, is not UTF-8" in result.stderr
    assert list(tmp_path.iterdir()) == [parent]


@pytest.mark.parametrize("size", [0, -1])
@pytest.mark.parametrize("command", ["fp16", "fix-shape"])
def test_a_free_size_without_a_name(tmp_path: Path, command: str, size: int) -> None:
    model = miniature()
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_value = size
    parent = tmp_path / "model.onnx"
    parent.write_bytes(model.SerializeToString())
    shape = ("--batch", 1, "--height", 32, "--width", 48) if command == "fix-shape" else ()
    result = saliency_export(command, parent, "--output", tmp_path / "o.onnx", *shape)
    assert result.exit_code == 2
    assert f"['N', 3, {size}, 48], in which a size is not positive: name the free sizes first" in result.stderr


def test_operators_that_loaders_refuse(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("ReduceMean", ["input"], ["mean"], axes=[1], keepdims=1),
        helper.make_node("Sin", ["mean"], ["saliency_map"]),
    ]
    parent = save_model(tmp_path / "sine.onnx", nodes, {})
    result = saliency_export("fp16", parent, "--output", tmp_path / "o.onnx")
    assert (result.exit_code, "operators that loaders refuse: Sin" in result.stderr) == (2, True)


def add_domain(model: ModelProto) -> None:
    model.opset_import.append(helper.make_opsetid("com.example", 1))


def add_foreign_node(model: ModelProto) -> None:
    add_domain(model)
    model.graph.node.append(NodeProto(op_type="Relu", domain="com.example", input=["conv"], output=["more"]))


def read_what_is_not_there(model: ModelProto) -> None:
    model.graph.node[0].input[0] = "absent"


def make_newer(model: ModelProto) -> None:
    model.ir_version = NEWEST_IR + 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (add_domain, "operator sets that loaders refuse: com.example"),
        (add_foreign_node, "custom domain 'com.example'"),
        (read_what_is_not_there, "is not valid"),
        (make_newer, "IR version 11; loaders take at most version 10"),
    ],
)
def test_a_graph_that_may_not_go_out(change: Callable[[ModelProto], None], message: str) -> None:
    model = miniature()
    assert finish_model(model, {})
    change(model)
    with pytest.raises(ModelError, match=message):
        finish_model(model, {})
