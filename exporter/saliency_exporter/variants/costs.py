"""What int8 in one block alone costs in accuracy, measured for every block of a graph."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, ValueInfoProto, helper, numpy_helper

from saliency_engine.numerics.fidelity import compare
from saliency_exporter.graphs import compute_maps, open_session, read_input, replace_nodes, split_into_calls
from saliency_exporter.variants.blocks import Block


def measure_costs(
    model: ModelProto,
    blocks: list[Block],
    frames: NDArray[np.float32],
    show: Callable[[int, int], None],
) -> list[float]:
    """What int8 in one block alone takes from the maps' correlation r: 1 − r for each block.

    The block's output is rounded to 8 bits over the range it has on ``frames``; so are its weights, channel by channel.
    ``show`` is given how many of how many blocks are done.
    """
    reference = compute_maps(model.SerializeToString(), frames)
    ranges = _measure_ranges(model, [block.output for block in blocks], frames)
    walk = _Walk(model, frames)
    costs = []
    for done, block in enumerate(blocks):
        show(done, len(blocks))
        walk.go_to(block.nodes[0])
        rest = walk.rest()
        _round_weights(rest, block)
        _round_output(rest, block.output, ranges[block.output])
        costs.append(1.0 - compare(reference, walk.finish(rest)[: len(frames)]).correlation)
    return costs


class _Walk:
    """A graph computed on frames up to one of its nodes.

    A block is near the middle of a graph on average: what comes before it is computed once for all blocks, and not once
    for each, which was half of the time.
    """

    def __init__(self, model: ModelProto, frames: NDArray[np.float32]) -> None:
        value = model.graph.input[0]
        step = value.type.tensor_type.shape.dim[0].dim_value or 1
        self._model, self._left = model, list(model.graph.node)
        self._values: list[dict[str, NDArray[np.generic]]] = [
            {value.name: call} for call in split_into_calls(frames, step)
        ]
        """For every call what the nodes that are left read of those before them."""

    def go_to(self, node: NodeProto) -> None:
        """Compute all nodes before ``node``."""
        at = next(at for at, other in enumerate(self._left) if other.output[0] == node.output[0])
        nodes, self._left = self._left[:at], self._left[at:]
        read = _names_read(self._left) | {value.name for value in self._model.graph.output}
        wanted = [name for made in nodes for name in made.output if name in read]
        if wanted:
            part = self._cut(nodes, [ValueInfoProto(name=name) for name in wanted])
            for values, made_values in zip(self._values, self._run(part, wanted), strict=True):
                values.update(zip(wanted, made_values, strict=True))
        self._values = [{name: value for name, value in values.items() if name in read} for values in self._values]

    def rest(self) -> ModelProto:
        """A graph of the nodes that are left, with weights of its own."""
        return self._cut(self._left, self._model.graph.output)

    def finish(self, rest: ModelProto) -> NDArray[np.float32]:
        """The maps float32 ``[n, H, W]`` that ``rest``, changed or not, gives for the frames of all calls."""
        return np.concatenate([maps for (maps,) in self._run(rest, [rest.graph.output[0].name])])[:, 0]

    def _cut(self, nodes: Sequence[NodeProto], outputs: Sequence[ValueInfoProto]) -> ModelProto:
        read = _names_read(nodes) | {value.name for value in outputs}
        inputs = [
            helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)
            for name, value in self._values[0].items()
            if name in read
        ]
        weights = [tensor for tensor in self._model.graph.initializer if tensor.name in read]
        graph = helper.make_graph(nodes, "part", inputs, outputs, weights)
        return helper.make_model(graph, opset_imports=self._model.opset_import, ir_version=self._model.ir_version)

    def _run(self, part: ModelProto, wanted: Sequence[str]) -> list[list[NDArray[np.generic]]]:
        session = open_session(part.SerializeToString())
        inputs = [value.name for value in session.get_inputs()]
        return [session.run(wanted, {name: values[name] for name in inputs}) for values in self._values]


def _names_read(nodes: Iterable[NodeProto]) -> set[str]:
    """Tensors that nodes, and the graphs inside them, read."""
    names = set()
    for node in nodes:
        names.update(node.input)
        for attribute in node.attribute:
            names |= _names_read(attribute.g.node)
    return names - {""}


def _measure_ranges(
    model: ModelProto, names: Sequence[str], frames: NDArray[np.float32]
) -> Mapping[str, tuple[float, float]]:
    """Least and greatest value of each tensor on ``frames``, zero included."""
    widened = ModelProto()
    widened.CopyFrom(model)
    outputs = {value.name for value in model.graph.output}
    widened.graph.output.extend([ValueInfoProto(name=name) for name in names if name not in outputs])
    session = open_session(widened.SerializeToString())
    name, step = read_input(session)
    low, high = np.zeros(len(names)), np.zeros(len(names))
    for call in split_into_calls(frames, step):
        for at, value in enumerate(session.run(names, {name: call})):
            low[at], high[at] = min(low[at], value.min()), max(high[at], value.max())
    return {name: (float(low[at]), float(high[at])) for at, name in enumerate(names)}


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
