"""Small ONNX models, made on the spot."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

BUILT_IN_SHA256 = "771f49225481a932540b2105af8d24f790ac29d46b82a0b19c73fe111f035242"
"""Of ``frequency_tuned_v1.onnx``."""
Shape = Sequence[int | str | None]


def saliency_model(
    *nodes: NodeProto,
    frames: Shape = ("N", 3, 32, 48),
    maps: Shape = ("N", 1, 32, 48),
    **constants: NDArray[Any] | np.generic,
) -> ModelProto:
    """``nodes`` from the input ``input`` of shape ``frames`` to the output ``saliency_map`` of shape ``maps``."""
    first = helper.make_tensor_value_info("input", TensorProto.FLOAT, frames)
    last = helper.make_tensor_value_info("saliency_map", TensorProto.FLOAT, maps)
    tensors = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    graph = helper.make_graph(list(nodes), "small", [first], [last], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def convolution(frames: str, maps: str) -> NodeProto:
    """The 3x3 convolution with the weights ``w``, from the value ``frames`` to the value ``maps`` of the same size."""
    return helper.make_node("Conv", [frames, "w"], [maps], pads=[1, 1, 1, 1])


WEIGHTS = np.full((1, 3, 3, 3), 0.1, np.float32)


def miniature(*extra: NodeProto, weights: NDArray[np.float32] = WEIGHTS) -> ModelProto:
    """A saliency model: the sigmoid of one convolution, and ``extra`` nodes whose results nothing reads."""
    sigmoid = helper.make_node("Sigmoid", ["conv"], ["saliency_map"])
    return saliency_model(convolution("input", "conv"), sigmoid, *extra, w=weights)


def enlarging(weights: NDArray[np.float32], *, kept: int = 2) -> ModelProto:
    """A model of one frame a call that halves a frame of 48x32 and enlarges it again, as torch writes U2NETP's stages.

    The size comes from ``Shape`` → ``Slice`` → ``Concat``: the first ``kept`` sizes are copied, the others constants.
    """
    sizes = np.array([1, 1, 32, 48])[kept:]
    nodes = (
        helper.make_node("Conv", ["input", "w"], ["half"], pads=[1, 1, 1, 1], strides=[2, 2]),
        helper.make_node("Shape", ["half"], ["sizes"]),
        helper.make_node("Slice", ["sizes", "start", "end", "axis"], ["copied"]),
        helper.make_node("Concat", ["copied", "rest"], ["wanted"], axis=0),
        helper.make_node("Resize", ["half", "", "", "wanted"], ["whole"], mode="linear"),
        helper.make_node("Sigmoid", ["whole"], ["saliency_map"]),
    )
    ints = {"start": np.array([0]), "end": np.array([kept]), "axis": np.array([0]), "rest": sizes}
    return saliency_model(*nodes, frames=(1, 3, 32, 48), maps=(1, 1, 32, 48), w=weights, **ints)


def enlarging_with_empty(opset: int, weights: NDArray[np.float32]) -> ModelProto:
    """``enlarging`` with empty ``roi`` and ``scales`` beside the sizes, as files of opset 11 have them."""
    model = enlarging(weights)
    model.opset_import[0].version = opset
    resize = next(node for node in model.graph.node if node.op_type == "Resize")
    resize.input[1], resize.input[2] = "roi", "scales"
    empty = helper.make_tensor("", TensorProto.FLOAT, [0], [])
    for name in ("roi", "scales"):
        model.graph.node.insert(0, helper.make_node("Constant", [], [name], value=empty))
    return model


def quantized() -> ModelProto:
    """A saliency model that holds a frame in eight bits on its way."""
    nodes = (
        helper.make_node("QuantizeLinear", ["input", "scale"], ["eight"]),
        helper.make_node("DequantizeLinear", ["eight", "scale"], ["frame"]),
        convolution("frame", "conv"),
        helper.make_node("Sigmoid", ["conv"], ["saliency_map"]),
    )
    return saliency_model(*nodes, w=WEIGHTS, scale=np.float32(0.02))
