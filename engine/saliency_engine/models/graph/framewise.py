"""Whether a graph whose batch is 1 can as well have a batch of any size: a proof over its nodes, one after the other.

Each value is one of three things, or nothing is known of it: it has the frames along its first axis, each computed by
itself; it is the sizes of such a value, or the first of them, so that its first number is how many frames there are; or
it has nothing to do with frames. U2NETP needs the second kind: torch writes the size that a map is enlarged to as
``Shape`` → ``Slice`` → ``Concat``, which copies the number of frames.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

from saliency_engine.models.graph.inspect import parse_model

# Operators that treat every frame of a batch by itself, whatever their attributes are.
_FRAMEWISE = frozenset(
    """
    Identity Cast Clip Dropout Conv ConvTranspose MaxPool AveragePool GlobalAveragePool GlobalMaxPool
    BatchNormalization InstanceNormalization Add Sub Mul Div Pow Min Max Sum Mean Neg Abs Sqrt Exp Log Reciprocal Erf
    Relu LeakyRelu PRelu Elu Selu Gelu Sigmoid HardSigmoid HardSwish Tanh Softplus Softsign QuantizeLinear
    DequantizeLinear
    """.split()  # noqa: SIM905
)


class _Kind(Enum):
    FRAMES = auto()
    """Frames along the first axis."""
    SIZES = auto()
    """Sizes of ``FRAMES``: the first number is how many frames there are, and the others have nothing to do with it."""
    CONSTANT = auto()
    """The same for any number of frames."""


def frames_apart(data: bytes) -> bool:
    """Whether the nodes of an ONNX file are such that a batch of one can as well be a batch of any size.

    They are when every operator treats each frame by itself, and sizes are copied from the frames instead of being
    constants (of ``Reshape``, say). A graph with other operators may be able to as well; that is not looked into.
    Raises ``ModelError`` for a file that is not well-formed.
    """
    graph = parse_model(data).graph
    proof = _Proof({tensor.name: tensor for tensor in graph.initializer})
    proof.kinds |= {value.name: _Kind.FRAMES for value in graph.input if value.name not in proof.constants}
    followed = all(map(proof.follow, graph.node))
    return followed and all(proof.kinds.get(value.name) is _Kind.FRAMES for value in graph.output)


class _Proof:
    def __init__(self, constants: dict[str, TensorProto]) -> None:
        self.constants = constants
        self.kinds = dict.fromkeys(constants, _Kind.CONSTANT)
        """What is known of each value."""

    def follow(self, node: NodeProto) -> bool:
        """Note what the node's outputs are; ``False`` where that is not known."""
        kinds = [self.kinds.get(name) for name in node.input if name]
        if None in kinds or any(attribute.HasField("g") or attribute.graphs for attribute in node.attribute):
            return False
        kind = self._judge(node, kinds)
        if kind is None:
            return False
        self.kinds |= dict.fromkeys(node.output, kind)
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            self.constants[node.output[0]] = node.attribute[0].t
        return True

    def _judge(self, node: NodeProto, kinds: list[_Kind | None]) -> _Kind | None:
        if all(kind is _Kind.CONSTANT for kind in kinds):
            return _Kind.CONSTANT
        if _Kind.SIZES in kinds and node.op_type != "Resize":
            return self._judge_sizes(node, kinds)
        match node.op_type:
            case "Shape":
                return _judge_shape(_read_attributes(node))
            case "Resize":
                apart = self._keeps_frames(node, kinds)
            case "MaxPool" if len(node.output) > 1:
                apart = False  # places within all frames
            case "Concat":
                apart = all(kind is _Kind.FRAMES for kind in kinds) and _read_attributes(node).get("axis") in (1, 2, 3)
            case name:
                apart = name in _FRAMEWISE
        return _Kind.FRAMES if apart else None

    def _judge_sizes(self, node: NodeProto, kinds: list[_Kind | None]) -> _Kind | None:
        """What is made of ``SIZES``, which are one of the node's inputs."""
        first = kinds[0] is _Kind.SIZES and all(kind is _Kind.CONSTANT for kind in kinds[1:])
        attributes = _read_attributes(node)
        match node.op_type:
            case "Cast" if attributes.get("to") == TensorProto.INT64:
                return _Kind.SIZES
            case "Unsqueeze" if first:
                return _Kind.SIZES
            case "Concat" if first and attributes.get("axis") == 0:
                return _Kind.SIZES
            case "Slice" if first and not attributes:
                return self._judge_slice(node)
            case "Gather" if first and attributes.get("axis", 0) == 0:
                return self._judge_gather(node)
        return None

    def _judge_slice(self, node: NodeProto) -> _Kind | None:
        starts, ends, axes, steps = (self._read_constant(node, place) for place in range(1, 5))
        if starts is None or ends is None or starts.size != 1 or ends.size != 1:
            return None
        if len(node.input) > 3 and node.input[3] and (axes is None or axes.tolist() != [0]):
            return None
        if len(node.input) > 4 and (steps is None or steps.tolist() != [1]):
            return None
        if starts[0] > 0:
            return _Kind.CONSTANT
        return _Kind.SIZES if starts[0] == 0 and ends[0] > 0 else None

    def _judge_gather(self, node: NodeProto) -> _Kind | None:
        places = self._read_constant(node, 1)
        if places is None:
            return None
        if places.size and (places > 0).all():
            return _Kind.CONSTANT
        return _Kind.SIZES if places.size == 1 and places.reshape(-1)[0] == 0 else None

    def _keeps_frames(self, node: NodeProto, kinds: list[_Kind | None]) -> bool:
        """Whether a ``Resize`` of frames leaves their number alone."""
        if kinds[0] is not _Kind.FRAMES:
            return False
        if len(node.input) < 4:  # by factors
            return all(kind is _Kind.CONSTANT for kind in kinds[1:])
        if {"axes", "keep_aspect_ratio_policy"} & _read_attributes(node).keys():
            return False
        others = [self._read_constant(node, place) for place in (1, 2) if node.input[place]]
        # Empty, because operator set 11 cannot leave them out.
        empty = all(values is not None and not values.size for values in others)
        return empty and self.kinds.get(node.input[3]) is _Kind.SIZES

    def _read_constant(self, node: NodeProto, place: int) -> NDArray[Any] | None:
        """The numbers of an input, where they stand in the file."""
        tensor = self.constants.get(node.input[place]) if place < len(node.input) else None
        return None if tensor is None else np.asarray(numpy_helper.to_array(tensor))


def _judge_shape(attributes: dict[str, Any]) -> _Kind | None:
    """What ``Shape`` gives of frames."""
    if attributes.get("start", 0) > 0:
        return _Kind.CONSTANT
    return None if attributes else _Kind.SIZES


def _read_attributes(node: NodeProto) -> dict[str, Any]:
    return {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
