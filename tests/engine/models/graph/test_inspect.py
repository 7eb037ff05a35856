"""What a model file may hold: real models pass, whatever could read or run something else is refused by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import ModelProto, TensorProto, helper, numpy_helper
from tests.small_models import miniature

from saliency_engine.errors import ModelError
from saliency_engine.models.entry import asset
from saliency_engine.models.graph import inspect as graphs
from saliency_engine.models.graph.inspect import check_operators, read_graph


def _body(*nodes: onnx.NodeProto) -> onnx.GraphProto:
    result = helper.make_tensor_value_info("out", TensorProto.FLOAT, None)
    return helper.make_graph(list(nodes), "body", [], [result])


def _if(node: onnx.NodeProto) -> onnx.NodeProto:
    inner = _body(helper.make_node("Identity", ["input"], ["out"]))
    return helper.make_node("If", ["flag"], ["unused"], then_branch=_body(node), else_branch=inner)


def _external() -> TensorProto:
    tensor = numpy_helper.from_array(np.zeros(4, np.float32), "w2")
    onnx.external_data_helper.set_external_data(tensor, "weights.bin")
    tensor.ClearField("raw_data")
    return tensor


def _in_initializer(model: ModelProto) -> None:
    model.graph.initializer.append(_external())


def _in_sparse(model: ModelProto) -> None:
    model.graph.sparse_initializer.add().values.CopyFrom(_external())


def _in_attribute(model: ModelProto) -> None:
    model.graph.node.append(helper.make_node("Constant", [], ["c"], value=_external()))


def _in_branch(model: ModelProto) -> None:
    model.graph.node.append(_if(helper.make_node("Constant", [], ["out"], value=_external())))


def _location_only(model: ModelProto) -> None:
    tensor = _external()
    tensor.ClearField("external_data")
    model.graph.initializer.append(tensor)


def _path_only(model: ModelProto) -> None:
    tensor = _external()
    tensor.ClearField("data_location")
    model.graph.initializer.append(tensor)


def _foreign(model: ModelProto) -> None:
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    model.graph.node.append(helper.make_node("Gelu", ["conv"], ["g"], domain="com.microsoft"))


def _foreign_in_branch(model: ModelProto) -> None:
    model.graph.node.append(_if(helper.make_node("Relu", ["conv"], ["out"], domain="my.ops")))


def _compiled(model: ModelProto) -> None:
    model.graph.node.append(helper.make_node("EPContext", ["conv"], ["e"], ep_cache_context="engine.bin"))


def _function(model: ModelProto) -> None:
    nodes = [helper.make_node("Relu", ["x"], ["y"])]
    model.functions.append(helper.make_function("my", "Sigmoid", ["x"], ["y"], nodes, [helper.make_opsetid("", 17)]))


def _training(model: ModelProto) -> None:
    model.training_info.add().algorithm.CopyFrom(_body(helper.make_node("Relu", ["x"], ["y"])))


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (_in_initializer, "external data"),
        (_in_sparse, "external data"),
        (_in_attribute, "external data"),
        (_in_branch, "external data"),
        (_location_only, "external data"),
        (_path_only, "external data"),
        (_foreign, "custom domain 'com.microsoft'"),
        (_foreign_in_branch, "custom domain 'my.ops'"),
        (_compiled, "EPContext"),
        (_function, "functions of its own"),
        (_training, "training graph"),
    ],
)
def test_what_could_read_or_run_something_else_is_refused(spoil: Callable[[ModelProto], None], reason: str) -> None:
    model = miniature()
    read_graph(model.SerializeToString())
    spoil(model)
    with pytest.raises(ModelError, match=reason):
        read_graph(model.SerializeToString())


def test_the_graph_tells_its_operators_metadata_and_input() -> None:
    model = miniature(_if(helper.make_node("Neg", ["conv"], ["out"])))
    helper.set_model_props(model, {"lusoris.model_id": "mini_v1", "note": "é"})
    model.graph.input.insert(0, helper.make_tensor_value_info("w", TensorProto.FLOAT, [1, 3, 3, 3]))
    graph = read_graph(model.SerializeToString())
    assert graph.operators == {"Conv", "Sigmoid", "If", "Neg", "Identity"}
    assert graph.metadata == {"lusoris.model_id": "mini_v1", "note": "é"}
    assert graph.input_shape == ("N", 3, 32, 48)


def test_other_operators_are_named_with_the_option_that_admits_them() -> None:
    graph = read_graph(miniature(_if(helper.make_node("Sin", ["conv"], ["out"]))).SerializeToString())
    with pytest.raises(ModelError, match=r"unsupported op Sin: .* --allow-op Sin"):
        check_operators(graph, ())
    check_operators(graph, ["Sin"])


def test_real_models_pass(models: Path) -> None:
    for data in [*(path.read_bytes() for path in models.glob("*.onnx")), asset("frequency_tuned_v1.onnx").read_bytes()]:
        graph = read_graph(data)
        check_operators(graph, ())
        model = onnx.load_from_string(data)
        assert graph.operators == {node.op_type for node in model.graph.node}
        assert graph.metadata == {entry.key: entry.value for entry in model.metadata_props}


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "no operators"),
        (b"this is no model", r"it is text, not ONNX: give the \.onnx file"),
        (b"<html><body>404", "it is a web page, not ONNX: the download has probably failed"),
        (b"version https://git-lfs.github.com/spec/v1\n", "it is a Git LFS pointer, not ONNX: run git lfs pull"),
        (b'{"onnx": 1}', "it is JSON, not ONNX"),
        (b"PK\x03\x04" + bytes(60), "it is a ZIP archive, not ONNX: PyTorch saves such files"),
        (b"\x00" * 64, "not an ONNX file"),
        (b"\x3a\xff\xff\xff\xff\x0f", "not an ONNX file"),  # a message that goes on after the file ends
        (b"\x08" + b"\xff" * 20, "not an ONNX file"),  # an integer that does not end
        (b"\x08" + b"\xff" * 9 + b"\x7f", "no operators"),  # one of 71 bits, of which every parser takes 64
        (b"\x3b\x3c", "ModelProto has a field 7 of wire type 3"),
        (b"\x38\x01", "ModelProto has a field 7 of wire type 0"),  # a number where a message belongs
        (b"\xa2\x06\x00", "ModelProto has a field 100"),
        (b"\x18\x00\x00\x00ORTM" + b"\x00" * 40, "ONNX Runtime's own format"),
        (b"\x3a\x05\x0a\x03\x22\x01\xff", "not text"),
    ],
)
def test_what_is_no_onnx_file_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(ModelError, match=reason):
        read_graph(data)


def test_a_file_cut_off_is_refused() -> None:
    model = miniature()
    data = model.SerializeToString()
    end_of_graph = data.index(model.graph.SerializeToString()) + len(model.graph.SerializeToString())
    for end in range(end_of_graph):
        with pytest.raises(ModelError):
            read_graph(data[:end])


def test_text_that_is_none_is_refused_where_it_is_used() -> None:
    for place in ("metadata", "operator"):
        model = miniature(helper.make_node("Relu", ["conv"], ["r"]))
        helper.set_model_props(model, {"note": "MARK" if place == "metadata" else ""})
        model.graph.node[-1].op_type = "MARK" if place == "operator" else "Relu"
        with pytest.raises(ModelError, match=r"not an ONNX file|not text in UTF-8"):
            read_graph(model.SerializeToString().replace(b"MARK", b"\xff\xfe\xfd\xfc"))


def test_what_no_library_could_read_is_refused_before_it_is_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    data = miniature().SerializeToString()
    monkeypatch.setattr(graphs, "_MOST_BYTES", len(data))
    read_graph(data)
    with pytest.raises(ModelError, match=f"it has {len(data) + 1} bytes; an ONNX file has at most {len(data)}"):
        read_graph(data + b"\0")


@pytest.mark.parametrize(("size", "read"), [(-1, ""), (-(2**63), ""), (0, ""), (2**63 - 1, 2**63 - 1)])
def test_sizes_that_cannot_be_are_read_all_the_same(size: int, read: int | str) -> None:
    model = miniature()
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_value = size
    model.graph.initializer[0].dims[0] = size
    assert read_graph(model.SerializeToString()).input_shape == ("N", 3, read, 48)


@pytest.mark.parametrize("newer", ["IR version", "operator set"])
def test_what_is_newer_than_onnx_is_refused(newer: str) -> None:
    model = miniature()
    if newer == "IR version":
        model.ir_version = 99
    else:
        model.opset_import[0].version = 99
    with pytest.raises(ModelError, match=f"needs the {newer} 99, and onnx .* knows none newer than .*: upgrade onnx"):
        read_graph(model.SerializeToString())


def test_nesting_has_a_limit() -> None:
    data = b""
    for _ in range(200):  # graph → node → attribute → graph …
        data = _nested(1, _nested(5, _nested(6, data)))
    with pytest.raises(ModelError, match="nested"):
        read_graph(_nested(7, data))


def _nested(number: int, content: bytes) -> bytes:
    size, length = len(content), b""
    while size >= 128:
        length += bytes([size & 127 | 128])
        size >>= 7
    return bytes([number << 3 | 2]) + length + bytes([size]) + content


@settings(max_examples=300)
@given(st.integers(0, 10**6), st.integers(1, 255))
def test_a_flipped_byte_never_gets_external_data_past(position: int, mask: int) -> None:
    """Whatever the change: refused, or no tensor that protobuf itself sees points to another file."""
    model = miniature()
    _in_branch(model)
    data = bytearray(model.SerializeToString())
    data[position % len(data)] ^= mask
    try:
        read_graph(bytes(data))
    except ModelError:
        return
    seen = onnx.load_from_string(bytes(data))
    constants = [a.t for n in seen.graph.node for b in n.attribute for i in b.g.node for a in i.attribute]
    tensors = [*seen.graph.initializer, *constants]
    assert not any(tensor.external_data or tensor.data_location for tensor in tensors)


def test_every_field_of_onnx_is_accounted_for() -> None:
    judged = {
        "NodeProto": {"op_type", "domain"},
        "TensorProto": {"external_data", "data_location"},
        "ModelProto": {"metadata_props", "training_info", "functions"},
    }
    for kind, inner in graphs._INNER.items():
        fields = getattr(onnx, kind).DESCRIPTOR.fields
        assert {field.name for field in fields} <= inner | graphs._HARMLESS[kind] | judged.get(kind, set()), kind
        messages = {field.name for field in fields if field.message_type and field.message_type.name in graphs._INNER}
        assert inner == messages
