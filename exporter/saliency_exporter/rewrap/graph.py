"""An upstream graph cut down to one map: what only other outputs need is dropped, shapes fixed, the ends renamed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import onnx
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, version_converter

from saliency_engine.errors import ModelError
from saliency_exporter.graphs import NEWEST_IR, replace_nodes
from saliency_exporter.rewrap.convention import Convention, MapForm

OPSET = 17
_IR_OF_OPSET = 8
"""The IR version that came with ``OPSET``, which older files get."""
_RESIZE_BY_HALF_PIXELS = 11
"""The opset that gave resizing another default; the converter of onnx 1.23 does not write the old one down."""
INPUT, OUTPUT = "input", "saliency_map"
_INNER_INPUT, _INNER_OUTPUT = "upstream input", "upstream output"


def find_map(graph: GraphProto, given: str) -> str:
    """The output that is the map: ``given``, the only one, or the one that all others flow into, as U-2-Net's d0.

    U-2-Net gives seven maps: d0, and the six that it is fused of. Raises ``ModelError`` where no output or several are
    so, or there is no output ``given``.
    """
    names: list[str] = [value.name for value in graph.output]
    if given and given not in names:
        raise ModelError(f"it has no output {given!r} (--upstream-output): its outputs are {', '.join(names)}")
    if given or len(names) == 1:
        return given or names[0]
    makers = {name: node for node in graph.node for name in node.output}
    # Of the others, the activation behind what flows on is not in the way to d0.
    before = {name: set(_read_names(makers[name])) if name in makers else {name} for name in names}
    fused = []
    for name in names:
        reached = _reach(graph, name)
        if all(other in reached or before[other] <= reached for other in names):
            fused.append(name)
    if len(fused) != 1:
        raise ModelError(
            f"it has {len(names)} outputs, and none of them alone is fused of all the others, as U-2-Net's d0 is: name "
            f"the map with --upstream-output, one of {', '.join(names)}"
        )
    return fused[0]


def keep_output(model: ModelProto, name: str) -> None:
    """Drop every other output, and the nodes, weights and inputs that only they need."""
    graph, needed = model.graph, _reach(model.graph, name)
    replace_nodes(model, [node for node in graph.node if needed.intersection(node.output)])
    for values in (graph.initializer, graph.input):
        for at in reversed(range(len(values))):
            if values[at].name not in needed:
                del values[at]
    for at in reversed(range(len(graph.output))):
        if graph.output[at].name != name:
            del graph.output[at]
    del graph.value_info[:]  # shapes of before


def convert_opset(given: ModelProto) -> ModelProto:
    """A copy of the model in ``OPSET``, importing no other operators. Raises ``ModelError`` where onnx cannot."""
    model = ModelProto()
    model.CopyFrom(given)
    version = next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 1)
    del model.opset_import[:]
    model.opset_import.append(helper.make_opsetid("", version))
    if version != OPSET:
        try:
            model = version_converter.convert_version(model, OPSET)
        except Exception as error:  # what onnx's converter raises has no base class but Exception
            reason = " ".join(str(error).split())[:300]
            raise ModelError(f"it cannot be converted from opset {version} to {OPSET}: {reason}") from error
    if version < _RESIZE_BY_HALF_PIXELS:
        _resize_as_before(model)
    model.ir_version = min(max(model.ir_version, _IR_OF_OPSET), NEWEST_IR)
    return model


def wrap(
    model: ModelProto, convention: Convention, form: MapForm, frames: Sequence[int], maps: Sequence[int]
) -> ModelProto:
    """The model from ``input``, float32 ``frames`` ``[N, 3, H, W]``, to ``saliency_map``, float32 ``maps``.

    What differs from the engine's convention becomes nodes in front and behind; the nodes between stay as they are.
    Raises ``ModelError`` where some of them are fixed to other sizes.
    """
    graph = model.graph
    before = convention.make_input_nodes(INPUT, _INNER_INPUT)
    after = form.make_output_nodes(_INNER_OUTPUT, OUTPUT)
    ends = {
        graph.input[0].name: _INNER_INPUT if before else INPUT,
        graph.output[0].name: _INNER_OUTPUT if after else OUTPUT,
    }
    made = {name for node in (*before, *after) for name in node.output} | {INPUT, OUTPUT, *ends.values()}
    _rename(graph, {name: f"{name} of upstream" for name in made} | ends)
    replace_nodes(model, [*before, *graph.node, *after])
    graph.input[0].CopyFrom(helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, frames))
    graph.output[0].CopyFrom(helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, maps))
    del graph.value_info[:]  # the converter writes the shapes of before
    try:
        return onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
    except onnx.shape_inference.InferenceError as error:
        raise ModelError(
            f"it cannot take frames {list(frames)}: some of its nodes are fixed to other sizes "
            f"({' '.join(str(error).split())[:200]})"
        ) from error


def _resize_as_before(model: ModelProto) -> None:
    """Give every ``Resize`` that leaves it open the way in which ``Upsample`` and it worked before."""
    for node in model.graph.node:
        present = {attribute.name for attribute in node.attribute}
        for name, value in (("coordinate_transformation_mode", "asymmetric"), ("nearest_mode", "floor")):
            if node.op_type == "Resize" and name not in present:
                node.attribute.append(helper.make_attribute(name, value))


def _reach(graph: GraphProto, name: str) -> set[str]:
    """The values that the value ``name`` is computed from, and itself."""
    needed = {name}
    for node in reversed(graph.node):  # they stand in the order in which they run
        if needed.intersection(node.output):
            needed.update(filter(None, _read_names(node)))  # an optional input that is left out has no name
    return needed


def _read_names(node: NodeProto) -> Iterator[str]:
    """What a node reads, and what the bodies of an ``If`` or a ``Loop`` read of the graph around them."""
    yield from node.input
    for body in _bodies(node):
        yield from (value.name for value in body.output)
        for inner in body.node:
            yield from _read_names(inner)


def _rename(graph: GraphProto, names: Mapping[str, str]) -> None:
    """Rename values, all at once, inside bodies too."""
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
        for body in _bodies(node):
            _rename(body, names)
    for value in (*graph.input, *graph.output, *graph.initializer):
        value.name = names.get(value.name, value.name)


def _bodies(node: NodeProto) -> list[GraphProto]:
    return [body for attribute in node.attribute for body in (attribute.g, *attribute.graphs)]
