"""What OpenVINO (seen in 2026.4) computes otherwise than ONNX says, and says nothing of it.

Found by running every admitted operator with its attributes through OpenVINO, ONNX Runtime and ONNX's own reference, of
which the last two agreed. Maps were up to 0.3 off.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import onnx
from onnx import GraphProto, ModelProto, NodeProto

from saliency_engine.models.graph.inspect import parse_model

_TELLTALES = (
    b"antialias",
    b"exclude_outside",
    b"keep_aspect_ratio_policy",
    b"count_include_pad",
    b"output_shape",
    b"SAME_UPPER",
    b"SAME_LOWER",
    b"Softmax",
)
_FLATTENING = (11, 12)
"""Operator sets whose Softmax takes all axes from the given one on together. Before them, OpenVINO does so, too."""


def find_misread(data: bytes) -> str:
    """The first operator of an ONNX file that OpenVINO would compute otherwise, in words; empty where there is none.

    Raises ``ModelError`` for a file that is not well-formed.
    """
    if not any(word in data for word in _TELLTALES):  # spares almost every model to be parsed once more
        return ""
    model = parse_model(data)
    judged = map(_judge, _list_nodes(model.graph))
    return next(filter(None, (*judged, _judge_softmax(model))), "")


def _judge_softmax(model: ModelProto) -> str:
    """Softmax over another axis than the last one is misread."""
    nodes = [node for node in _list_nodes(model.graph) if node.op_type == "Softmax"]
    if not nodes or not any(entry.version in _FLATTENING for entry in model.opset_import):
        return ""
    known = onnx.shape_inference.infer_shapes(model).graph
    ranks = {value.name: len(value.type.tensor_type.shape.dim) for value in (*known.value_info, *known.input)}
    for node in nodes:
        axis = next((one.i for one in node.attribute if one.name == "axis"), 1)
        if axis not in (-1, ranks.get(node.input[0], 0) - 1):
            return "Softmax of operator sets 11 and 12"
    return ""


def _list_nodes(graph: GraphProto) -> Iterator[NodeProto]:
    for node in graph.node:
        yield node
        for attribute in node.attribute:  # bodies of If and Loop
            for body in (attribute.g, *attribute.graphs):
                yield from _list_nodes(body)


def _judge(node: NodeProto) -> str:
    values: dict[str, Any] = {one.name: onnx.helper.get_attribute_value(one) for one in node.attribute}
    match node.op_type:
        case "Resize":
            names = [name for name in ("antialias", "exclude_outside") if values.get(name)]
            if values.get("keep_aspect_ratio_policy", b"stretch") != b"stretch":
                names.append("keep_aspect_ratio_policy")
            return f"Resize with {names[0]}" if names else ""
        case "AveragePool" if values.get("ceil_mode") and values.get("count_include_pad"):
            return "AveragePool with ceil_mode and count_include_pad"
        case "ConvTranspose" if values.get("auto_pad") in (b"SAME_UPPER", b"SAME_LOWER"):
            return "ConvTranspose with auto_pad"
        case "ConvTranspose" if "output_shape" in values:
            return "ConvTranspose with output_shape"
    return ""
