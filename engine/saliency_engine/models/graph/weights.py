"""NaN and infinity among a graph's weights, found before it runs.

A library need not pass them on: with one NaN in the weights of a hidden layer of the second student, OpenVINO gave
finite, wrong maps for all but the last layer, because its ReLU takes NaN for 0; ONNX Runtime gave NaN.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import GraphProto, NodeProto, TensorProto

_RAW: dict[int, str] = {
    TensorProto.FLOAT: "<f4",
    TensorProto.FLOAT16: "<f2",
    TensorProto.DOUBLE: "<f8",
    TensorProto.BFLOAT16: "<u2",
}
"""How the element types that can hold NaN stand in ``raw_data``; bfloat16, which numpy does not know, as integers."""


# Infinity is at home in a mask, which is added to what goes into a softmax, and in a bound, beside which another number
# wins. On its way there it may pass through these operators …
_PASS_ON = frozenset(
    """
    Identity Cast Reshape Flatten Squeeze Unsqueeze Transpose Slice Gather GatherND Expand Concat Pad ScatterND Where
    Add Sub Sum
    """.split()  # noqa: SIM905
)
# … and it ends in one of these. Any other would multiply by it.
_END = frozenset({"Softmax", "Exp", "Max", "Min", "Clip", "ReduceMax", "ReduceMin", "Shape"})


def find_fault(graph: GraphProto) -> str:
    """What is wrong with the numbers that a graph and those inside it hold; empty where nothing is.

    NaN is wrong wherever a node reads it. Infinity is wrong where it is neither in a mask nor a bound, which any single
    number may be.
    """
    return _Search().look_into(graph)


class _Search:
    def __init__(self) -> None:
        self._nan: set[str] = set()
        """Values that hold NaN, by name."""
        self._infinite: dict[str, str] = {}
        """Values that hold infinity, with the name of the weight that it comes from."""

    def look_into(self, graph: GraphProto) -> str:
        """The first fault in ``graph``; what the graphs around it hold is known."""
        for tensor in (*graph.initializer, *(sparse.values for sparse in graph.sparse_initializer)):
            self._note(tensor.name, tensor)
        reasons = (self._judge(node) for node in graph.node)  # in the order in which they run
        return next(filter(None, reasons), "")

    def _note(self, name: str, tensor: TensorProto) -> None:
        if tensor.data_type not in _RAW:
            return
        parts = _spelled_values(tensor)
        if any(np.isnan(part).any() for part in parts):
            self._nan.add(name)
        elif sum(map(len, parts)) > 1 and any(np.isinf(part).any() for part in parts):
            self._infinite[name] = name

    def _judge(self, node: NodeProto) -> str:
        for name in node.input:
            if name in self._nan:
                return f"its weight {name!r} holds NaN"
            weight = self._infinite.get(name, "")
            if weight and node.op_type in _PASS_ON:
                self._infinite |= dict.fromkeys(node.output, weight)
            elif weight and node.op_type not in _END:
                return f"its weight {weight!r} holds infinity"
        for attribute in node.attribute:  # numbers of Constant and ConstantOfShape; bodies of If and Loop
            for tensor in (attribute.t, attribute.sparse_tensor.values, *attribute.tensors):
                self._note(node.output[0] if node.output else "", tensor)
            for body in (attribute.g, *attribute.graphs):
                if reason := self.look_into(body):
                    return reason
        return ""


def _spelled_values(tensor: TensorProto) -> list[NDArray[Any]]:
    """The numbers of a tensor by the ways there are to write them; what belongs to another element type is left out."""
    kind, dtype = tensor.data_type, np.dtype(_RAW[tensor.data_type])
    data = tensor.raw_data
    parts = [np.frombuffer(data, dtype, len(data) // dtype.itemsize)]  # a length that is wrong is the runtime's to see
    match kind:
        case TensorProto.FLOAT:
            parts.append(np.array(tensor.float_data, "<f4"))
        case TensorProto.DOUBLE:
            parts.append(np.array(tensor.double_data, "<f8"))
        case _:
            parts.append(np.array(tensor.int32_data, "<i4").astype("<u2").view(dtype))
    return [_widen(part) for part in parts] if kind == TensorProto.BFLOAT16 else parts


def _widen(part: NDArray[Any]) -> NDArray[Any]:
    """bfloat16 as float32: it is that one's upper half."""
    return (part.astype("<u4") << 16).view("<f4")
