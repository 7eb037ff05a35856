"""A graph cut into the blocks that int8 takes or leaves as a whole, and which of them go back to float."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import onnx
from onnx import ModelProto, NodeProto

_QUANTIZED = {"Conv", "ConvTranspose", "MaxPool", "Resize", "Concat", "Add"}


@dataclass(eq=False)
class Block:
    """One operator that int8 would take, with the ``Relu`` behind it if nothing else reads it."""

    nodes: list[NodeProto]
    output: str
    """The tensor that would be rounded."""
    work: int = 0
    """Multiplications per frame; 0 where there are no weights."""
    readers: list[Block] = field(default_factory=list)
    """The blocks that take ``output``."""

    @property
    def names(self) -> list[str]:
        """Names of its nodes."""
        return [node.name for node in self.nodes]


def cut(model: ModelProto, size: tuple[int, int]) -> list[Block]:
    """The blocks of a graph in order, their work counted at ``size`` (height, width)."""
    readers: dict[str, list[NodeProto]] = {}
    for node in model.graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    weights = {tensor.name: math.prod(tensor.dims) for tensor in model.graph.initializer}
    areas = _infer_areas(model, size)
    blocks: list[Block] = []
    made: dict[str, Block] = {}
    for node in model.graph.node:
        if node.op_type not in _QUANTIZED:
            continue
        block = Block([node], node.output[0])
        if node.op_type.startswith("Conv"):
            block.work = weights.get(node.input[1], 0) * areas.get(block.output, 0)
        after = readers.get(block.output, [])
        if len(after) == 1 and after[0].op_type == "Relu":
            block.nodes.append(after[0])
            block.output = after[0].output[0]
        for name in node.input:
            if name in made:
                made[name].readers.append(block)
        made[block.output] = block
        blocks.append(block)
    return blocks


def _infer_areas(model: ModelProto, size: tuple[int, int]) -> dict[str, int]:
    """Pixels of every tensor of the graph when its input has ``size`` (height, width)."""
    sized = ModelProto()
    sized.CopyFrom(model)
    del sized.graph.value_info[:]
    for dimension, pixels in zip(sized.graph.input[0].type.tensor_type.shape.dim[2:], size, strict=True):
        dimension.dim_value = pixels
    inferred = onnx.shape_inference.infer_shapes(sized, data_prop=True).graph.value_info
    shapes = {value.name: value.type.tensor_type.shape.dim for value in inferred}
    return {name: math.prod(pixels.dim_value for pixels in shape[2:]) for name, shape in shapes.items()}


def choose_costly(blocks: list[Block], costs: list[float], budget: float) -> list[Block]:
    """The blocks to leave in float so that the others' ``costs`` add up to at most ``budget``.

    A tensor stays unrounded only when the block that writes it and all that read it are in float. They are taken out
    of int8 one tensor at a time, always the one that saves most for the work that it takes along.
    """
    in_float: list[Block] = []
    total = 1 + sum(block.work for block in blocks)

    def still_in_int8(block: Block) -> list[Block]:
        return [other for other in [block, *block.readers] if other not in in_float]

    while True:
        rounded = [(block, cost) for block, cost in zip(blocks, costs, strict=True) if still_in_int8(block)]
        if sum(cost for _, cost in rounded) <= budget:
            return in_float
        worth = [cost / (0.01 + sum(other.work for other in still_in_int8(block)) / total) for block, cost in rounded]
        in_float += still_in_int8(rounded[int(np.argmax(worth))][0])
