"""A model's graph with another input: one fixed shape, and 16-bit frames normalised in the graph.

The nodes of the model stay as they are, byte for byte; what is hashed and named is the model, not what is made of it
here. Fields of onnx.proto by number, as in ``graph``.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from saliency_engine.errors import ModelError
from saliency_engine.models.graph.protobuf import Field, WireError, block, fields, integer
from saliency_engine.numerics.normalize import OFFSET, SCALE

_FLOAT, _UINT16, _HALF = 1, 4, 10  # TensorProto.DataType

# Operators that treat every frame of a batch by itself, whatever else they are told.
_FRAMEWISE = frozenset(
    """
    Identity Cast Clip Constant Dropout Conv ConvTranspose MaxPool AveragePool GlobalAveragePool GlobalMaxPool
    BatchNormalization InstanceNormalization Add Sub Mul Div Pow Min Max Sum Mean Neg Abs Sqrt Exp Log Reciprocal Erf
    Relu LeakyRelu PRelu Elu Selu Gelu Sigmoid HardSigmoid HardSwish Tanh Softplus Softsign QuantizeLinear
    DequantizeLinear
    """.split()  # noqa: SIM905
)


def with_input(data: bytes, shape: Sequence[int], *, uint16: bool) -> bytes:
    """The graph with its only input, float32, fixed to ``shape`` ``[n, 3, H, W]``.

    ``uint16``: it takes 16-bit R'G'B' instead, and begins with the normalisation. The shapes of everything else are
    left to be inferred. Raises ``ModelError`` for a file that is not well-formed.
    """
    return b"".join(
        block(7, *_graph(field.message(), shape, uint16)) if field.number == 7 else bytes(field.raw)
        for field in _fields(memoryview(data))
    )


def frames_apart(data: bytes) -> bool:
    """Whether the nodes are such that a batch of one can as well be a batch of any size.

    They are when every operator treats each frame by itself: shapes that a graph has in its constants (of ``Reshape``,
    say) are then nowhere. A graph with other operators may be able to as well; that is not looked into.
    """
    return all(_framewise(node) for graph in _within(memoryview(data), 7) for node in _within(graph, 1))


def in_half_precision(data: bytes) -> bool:
    """Whether any weight is float16."""
    weights = (tensor for graph in _within(memoryview(data), 7) for tensor in _within(graph, 5))
    return any(field.number == 2 and field.value == _HALF for tensor in weights for field in _fields(tensor))


def least() -> bytes:
    """A model that is one Relu: enough to see whether a provider starts."""
    graph = block(1, _node("Relu", ["x"], "y")), block(2, "least"), block(11, *_value("x", _FLOAT, [1]))
    return integer(1, 8) + block(7, *graph, block(12, *_value("y", _FLOAT, [1]))) + block(8, integer(2, 17))


def _graph(graph: memoryview, shape: Sequence[int], uint16: bool) -> list[bytes]:
    parts = list(_fields(graph))
    weights = {_text(field.message(), 8) for field in parts if field.number == 5}
    written: list[bytes] = []
    for field in parts:
        match field.number:
            case 11 if (name := _text(field.message(), 1)) not in weights:
                taken = f"{name} in 16 bits" if uint16 else name
                written.append(block(11, *_value(taken, _UINT16 if uint16 else _FLOAT, shape)))
                if uint16:  # nodes stand in the order they run in
                    written[:0] = [block(1, node) for node in _normalization(taken, name)]
            case 12:
                written.append(block(12, *_value(_text(field.message(), 1), _FLOAT, [None] * _rank(field.message()))))
            case 13:  # shapes of inner values, which may be those of another batch size
                pass
            case _:
                written.append(bytes(field.raw))
    return written


def _normalization(taken: str, name: str) -> list[bytes]:
    """Nodes for ``name`` = ``taken`` · SCALE + OFFSET."""
    scale, offset, wide, scaled = (f"{name} {step}" for step in ("scale", "offset", "wide", "scaled"))
    to_float = block(5, block(1, "to"), integer(3, _FLOAT), integer(20, 2))
    return [
        _constant(SCALE, scale),
        _constant(OFFSET, offset),
        _node("Cast", [taken], wide, to_float),
        _node("Mul", [wide, scale], scaled),
        _node("Add", [scaled, offset], name),
    ]


def _node(operator: str, inputs: Sequence[str], output: str, attribute: bytes = b"") -> bytes:
    read = b"".join(block(1, name) for name in inputs)
    return read + block(2, output) + block(3, f"{output} node") + block(4, operator) + attribute


def _constant(per_channel: NDArray[np.float32], name: str) -> bytes:
    shape = b"".join(integer(1, size) for size in (1, 3, 1, 1))
    tensor = shape + integer(2, _FLOAT) + block(9, per_channel.astype("<f4").tobytes())
    return _node("Constant", [], name, block(5, block(1, "value"), block(5, tensor), integer(20, 4)))


def _value(name: str, kind: int, shape: Sequence[int | None]) -> list[bytes]:
    """``ValueInfoProto``: name, and TypeProto.tensor_type of element type and shape, free dimensions as ``None``."""
    sizes = (block(1, b"" if size is None else integer(1, size)) for size in shape)
    return [block(1, name), block(2, block(1, integer(1, kind), block(2, *sizes)))]


def _rank(value: memoryview) -> int:
    shapes = [shape for kind in _within(value, 2) for tensor in _within(kind, 1) for shape in _within(tensor, 2)]
    return sum(len(_within(shape, 1)) for shape in shapes)


def _framewise(node: memoryview) -> bool:
    operator = _text(node, 4)
    if operator == "Resize":  # by factors; sizes would be those of a batch of one
        return sum(field.number == 1 for field in _fields(node)) < 4
    if operator == "Concat":
        axes = [field.value for attribute in _within(node, 5) for field in _fields(attribute) if field.number == 3]
        return axes in ([1], [2], [3])
    return operator in _FRAMEWISE


def _text(message: memoryview, number: int) -> str:
    return next((field.text() for field in _fields(message) if field.number == number), "")


def _within(message: memoryview, number: int) -> list[memoryview]:
    return [field.message() for field in _fields(message) if field.number == number]


def _fields(message: memoryview) -> list[Field]:
    try:
        return list(fields(message))
    except WireError as error:
        raise ModelError(f"it is not an ONNX file, or a damaged one ({error})") from error
