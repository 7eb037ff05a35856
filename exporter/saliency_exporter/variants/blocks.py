"""A graph cut into the blocks that int8 takes or leaves as a whole, and what each one costs in accuracy."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, helper, numpy_helper

from saliency_engine.numerics.fidelity import compare
from saliency_exporter.graphs import compute_maps, open_session, read_input, replace_nodes

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


def measure_costs(model: ModelProto, blocks: list[Block], frames: NDArray[np.float32]) -> list[float]:
    """What int8 in one block alone takes from the maps' correlation r: 1 − r for each block.

    The block's output is rounded to 8 bits over the range it has on ``frames``; so are its weights, channel by channel.
    """
    reference = compute_maps(model.SerializeToString(), frames)
    ranges = _measure_ranges(model, [block.output for block in blocks], frames)
    costs = []
    for block in blocks:
        trial = ModelProto()
        trial.CopyFrom(model)
        _round_weights(trial, block)
        _round_output(trial, block.output, ranges[block.output])
        costs.append(1.0 - compare(reference, compute_maps(trial.SerializeToString(), frames)).correlation)
    return costs


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


def _measure_ranges(
    model: ModelProto, names: Iterable[str], frames: NDArray[np.float32]
) -> dict[str, tuple[float, float]]:
    """Least and greatest value of each tensor on ``frames``, zero included."""
    widened = ModelProto()
    widened.CopyFrom(model)
    outputs = {value.name for value in model.graph.output}
    wanted = list(names)
    widened.graph.output.extend([onnx.ValueInfoProto(name=name) for name in wanted if name not in outputs])
    session = open_session(widened.SerializeToString())
    name, step = read_input(session)
    low, high = np.zeros(len(wanted)), np.zeros(len(wanted))
    for start in range(0, len(frames) - step + 1, step):
        for at, value in enumerate(session.run(wanted, {name: frames[start : start + step]})):
            low[at], high[at] = min(low[at], value.min()), max(high[at], value.max())
    return {name: (float(low[at]), float(high[at])) for at, name in enumerate(wanted)}


def _round_weights(model: ModelProto, block: Block) -> None:
    """Round a convolution's weights to 8 bits, channel by channel."""
    node = block.nodes[0]
    weights = next(
        (t for t in model.graph.initializer if node.op_type.startswith("Conv") and t.name in node.input[1:2]), None
    )
    if weights is None:
        return
    values = numpy_helper.to_array(weights)
    axes = tuple(axis for axis in range(values.ndim) if axis != (0 if node.op_type == "Conv" else 1))
    scale = np.maximum(np.abs(values).max(axis=axes, keepdims=True), 1e-12) / 127
    weights.CopyFrom(numpy_helper.from_array((np.round(values / scale) * scale).astype(np.float32), weights.name))


def _round_output(model: ModelProto, name: str, limits: tuple[float, float]) -> None:
    """Put a pair of QuantizeLinear and DequantizeLinear between a tensor and all nodes that read it."""
    scale = max(limits[1] - limits[0], 1e-12) / 255
    zero = np.uint8(np.clip(round(-limits[0] / scale), 0, 255))
    constants = {f"{name}__scale": np.float32(scale), f"{name}__zero": zero}
    model.graph.initializer.extend([numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items()])
    nodes = []
    for node in model.graph.node:
        nodes.append(node)
        node.input[:] = [f"{name}__rounded" if read == name else read for read in node.input]
        if name in node.output:
            nodes.append(helper.make_node("QuantizeLinear", [name, *constants], [f"{name}__codes"]))
            nodes.append(helper.make_node("DequantizeLinear", [f"{name}__codes", *constants], [f"{name}__rounded"]))
    replace_nodes(model, nodes)
