"""A graph in half precision inside."""

from __future__ import annotations

import warnings

from onnx import ModelProto, NodeProto, version_converter
from onnxruntime.transformers.float16 import convert_float_to_float16

from saliency_engine.errors import ModelError
from saliency_exporter.graphs import sort_nodes

_EMPTY_IS_OPTIONAL = 13
"""The opset from which on Resize need not be given ``roi`` and ``scales``."""


def halve(model: ModelProto, source: str) -> bytes:
    """``model`` as ``Parent.load`` gives it, of the file ``source``, in half precision, float32 at its borders.

    Raises ``ModelError`` where it cannot be converted.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # weights below the least half become zero: the gate judges that
            # No operator stays in float32: what the converter is wary of by default, CUDA has in half precision.
            half = convert_float_to_float16(_without_empty(model), keep_io_types=True, op_block_list=[])
    except Exception as error:  # the converter raises what its helpers raise
        raise ModelError(f"{source} cannot be converted to half precision: {error}") from error
    sort_nodes(half)  # the converter appends its casts
    content: bytes = half.SerializeToString()
    return content


def _without_empty(model: ModelProto) -> ModelProto:
    """The model without what Resize nodes are given that is empty, as opset 11 wants it beside sizes.

    Only while it is a constant does it count as left out: converted to half precision it is one no more. A graph of an
    opset that demands it becomes one of an opset that does not.
    """
    if not _find_empty(model):
        return model
    if max(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")) < _EMPTY_IS_OPTIONAL:
        model = version_converter.convert_version(model, _EMPTY_IS_OPTIONAL)
    for node, at in _find_empty(model):
        node.input[at] = ""
    return model


def _find_empty(model: ModelProto) -> list[tuple[NodeProto, int]]:
    """Resize nodes, and which of their inputs are empty constants."""
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            constants[node.output[0]] = node.attribute[0].t
    return [
        (node, at)
        for node in model.graph.node
        if node.op_type == "Resize"
        for at, name in enumerate(node.input)
        if name in constants and 0 in constants[name].dims
    ]
