"""What int8 in one block costs: measured from the block on, it is what the whole graph with that rounding gives."""

from __future__ import annotations

import numpy as np
import onnxruntime as ort
import pytest
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, helper, numpy_helper
from tests.small_models import saliency_model

from saliency_engine.numerics.fidelity import compare
from saliency_exporter.variants.blocks import Block, cut
from saliency_exporter.variants.costs import measure_costs


def make_branches(frames_per_call: int) -> ModelProto:
    """Two branches, the second at half the size, which are enlarged, joined, and read again at the end."""
    rng = np.random.default_rng(3)
    sizes = {"first": (6, 3), "second": (6, 6), "third": (6, 12), "last": (1, 12)}
    weights = {name: rng.normal(size=(*size, 3, 3)).astype(np.float32) * 0.2 for name, size in sizes.items()}

    def convolve(name: str, frames: str, maps: str) -> None:
        nodes.append(helper.make_node("Conv", [frames, name], [f"{maps}_raw"], pads=[1, 1, 1, 1], name=f"{name}_conv"))
        nodes.append(helper.make_node("Relu", [f"{maps}_raw"], [maps], name=f"{name}_relu"))

    nodes: list[NodeProto] = []
    convolve("first", "input", "whole")
    nodes.append(helper.make_node("MaxPool", ["whole"], ["pooled"], "pool", kernel_shape=[2, 2], strides=[2, 2]))
    convolve("second", "pooled", "half")
    nodes.append(helper.make_node("Resize", ["half", "", "twice"], ["enlarged"], mode="linear", name="resize"))
    nodes.append(helper.make_node("Concat", ["whole", "enlarged"], ["both"], axis=1, name="join"))
    convolve("third", "both", "mixed")
    nodes.append(helper.make_node("Concat", ["mixed", "whole"], ["all"], axis=1, name="join_again"))
    nodes.append(helper.make_node("Conv", ["all", "last"], ["logits"], pads=[1, 1, 1, 1], name="last_conv"))
    nodes.append(helper.make_node("Sigmoid", ["logits"], ["saliency_map"], name="sigmoid"))
    twice = np.array([1, 1, 2, 2], np.float32)
    frames, maps = (frames_per_call, 3, 32, 48), (frames_per_call, 1, 32, 48)
    return saliency_model(*nodes, frames=frames, maps=maps, **weights, twice=twice)


def run(model: ModelProto, frames: NDArray[np.float32], *names: str) -> list[NDArray[np.float32]]:
    """Tensors of the whole graph, for one frame after the other or two at a time."""
    asked = ModelProto()
    asked.CopyFrom(model)
    asked.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in names if name != "saliency_map")
    session = ort.InferenceSession(asked.SerializeToString(), providers=["CPUExecutionProvider"])
    step = model.graph.input[0].type.tensor_type.shape.dim[0].dim_value
    padded = np.concatenate([frames, frames[-1:]])[: -(-len(frames) // step) * step]
    calls = [session.run(list(names), {"input": padded[at : at + step]}) for at in range(0, len(padded), step)]
    return [np.concatenate(parts)[: len(frames)] for parts in zip(*calls, strict=True)]


def round_whole_graph(model: ModelProto, block: Block, frames: NDArray[np.float32]) -> ModelProto:
    """The graph with one block's weights and output rounded to 8 bits, by the formula."""
    rounded = ModelProto()
    rounded.CopyFrom(model)
    for tensor in rounded.graph.initializer:
        if block.work and tensor.name == block.nodes[0].input[1]:
            values = numpy_helper.to_array(tensor)
            scale = np.abs(values).max(axis=(1, 2, 3), keepdims=True) / 127
            tensor.CopyFrom(numpy_helper.from_array(np.round(values / scale).astype(np.float32) * scale, tensor.name))
    (values,) = run(model, frames, block.output)
    least, most = min(0.0, float(values.min())), max(0.0, float(values.max()))
    scale, zero = np.float32((most - least) / 255), np.uint8(round(-least / ((most - least) / 255)))
    constants = {"own_scale": scale, "own_zero": zero}
    rounded.graph.initializer.extend(numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items())
    for node in rounded.graph.node:
        node.input[:] = ["own_rounded" if name == block.output else name for name in node.input]
    at = next(at for at, node in enumerate(rounded.graph.node) if block.output in node.output)
    pair = [("QuantizeLinear", block.output, "own_codes"), ("DequantizeLinear", "own_codes", "own_rounded")]
    for place, (kind, before, after) in enumerate(pair, at + 1):
        rounded.graph.node.insert(place, helper.make_node(kind, [before, *constants], [after]))
    return rounded


@pytest.mark.parametrize("frames_per_call", [1, 2])
def test_costs_are_those_of_the_whole_graph(frames_per_call: int) -> None:
    model = make_branches(frames_per_call)
    frames = np.random.default_rng(5).normal(size=(3, 3, 32, 48)).astype(np.float32)
    blocks = cut(model, (32, 48))
    shown: list[tuple[int, int]] = []
    costs = measure_costs(model, blocks, frames, lambda done, total: shown.append((done, total)))
    (reference,) = run(model, frames, "saliency_map")
    assert len(blocks) == 8
    assert shown == [(done, 8) for done in range(8)]
    for block, cost in zip(blocks[:-1], costs[:-1], strict=True):
        (maps,) = run(round_whole_graph(model, block, frames), frames, "saliency_map")
        expected = 1 - compare(reference[:, 0], maps[:, 0]).correlation
        assert expected > 1e-9
        assert cost == pytest.approx(expected, rel=0.01, abs=1e-9)
