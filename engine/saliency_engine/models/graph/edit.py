"""A model's graph with another input: one fixed shape, and 16-bit frames normalised in the graph.

The nodes of the model stay as they are; what is hashed and named is the model, not what is made of it here.
"""

from __future__ import annotations

from collections.abc import Sequence

from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from saliency_engine.models.graph.inspect import check_text, parse_model
from saliency_engine.numerics.normalize import OFFSET, SCALE


def with_input(data: bytes, shape: Sequence[int], *, uint16: bool) -> bytes:
    """The graph with its only input, float32, fixed to ``shape`` ``[n, 3, H, W]``.

    ``uint16``: it takes 16-bit R'G'B' instead, and begins with the normalisation. The shapes of everything else are
    left to be inferred. Raises ``ModelError`` for a file that is not well-formed.
    """
    model = parse_model(data)
    graph = model.graph
    weights = {tensor.name for tensor in graph.initializer}
    frames = next(value for value in graph.input if value.name not in weights)
    name = check_text("input", frames.name)
    if uint16:
        taken = f"{name} in 16 bits"
        for at, node in enumerate(_make_normalization(taken, name)):  # nodes stand in the order they run in
            graph.node.insert(at, node)
        frames.CopyFrom(helper.make_tensor_value_info(taken, TensorProto.UINT16, shape))
    else:
        frames.CopyFrom(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
    return _serialize_without_shapes(model)


def with_plain_input(data: bytes) -> bytes:
    """The graph with an input ``[N, 3, H, W]`` in which every free size has a name of its own.

    Files write a free size as 0 or -1, without a name or under the name of another one, or state no shape at all, and
    every library makes something else of it. Fixed sizes stay. Inputs of another rank or type stay as they are, to be
    refused later. Raises ``ModelError`` for a file that is not well-formed.
    """
    model = parse_model(data)
    weights = {tensor.name for tensor in model.graph.initializer}
    frames = next((value for value in model.graph.input if value.name not in weights), None)
    if frames is None or not frames.type.HasField("tensor_type"):
        return data
    kind = frames.type.tensor_type
    sizes = [size.dim_value for size in kind.shape.dim] if kind.HasField("shape") else [0] * 4
    if len(sizes) != 4:
        return data
    free: tuple[str | int, ...] = ("frames", 3, "height", "width")
    plain = [size if size > 0 else name for size, name in zip(sizes, free, strict=True)]
    frames.CopyFrom(helper.make_tensor_value_info(check_text("input", frames.name), kind.elem_type, plain))
    return _serialize_without_shapes(model)


def in_half_precision(data: bytes) -> bool:
    """Whether any weight is float16."""
    return any(tensor.data_type == TensorProto.FLOAT16 for tensor in parse_model(data).graph.initializer)


def smallest_model() -> bytes:
    """A model from ``x`` to ``y``, ``[1, 1, 1, 1]``, that is one convolution: enough to see whether a provider runs."""
    taken, given = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1] * 4) for name in ("x", "y"))
    weight = helper.make_tensor("w", TensorProto.FLOAT, [1] * 4, [1.0])
    graph = helper.make_graph([helper.make_node("Conv", ["x", "w"], ["y"])], "smallest", [taken], [given], [weight])
    model = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])
    data: bytes = model.SerializeToString()
    return data


def _serialize_without_shapes(model: ModelProto) -> bytes:
    """What the file says of sizes behind the input may be for another batch size, or in names that the input had."""
    for value in model.graph.output:
        for size in value.type.tensor_type.shape.dim:
            size.Clear()
    del model.graph.value_info[:]
    edited: bytes = model.SerializeToString()
    return edited


def _make_normalization(taken: str, name: str) -> list[NodeProto]:
    """Nodes for ``name`` = ``taken`` · SCALE + OFFSET."""
    scale, offset, wide, scaled = (f"{name} {step}" for step in ("scale", "offset", "wide", "scaled"))
    factor, summand = (numpy_helper.from_array(values.reshape(1, 3, 1, 1)) for values in (SCALE, OFFSET))
    return [
        helper.make_node("Constant", [], [scale], f"{scale} node", value=factor),
        helper.make_node("Constant", [], [offset], f"{offset} node", value=summand),
        helper.make_node("Cast", [taken], [wide], f"{wide} node", to=TensorProto.FLOAT),
        helper.make_node("Mul", [wide, scale], [scaled], f"{scaled} node"),
        helper.make_node("Add", [scaled, offset], [name], f"{name} node"),
    ]
