"""A graph in half precision inside, float32 at its borders: for GPUs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto, TensorProto, helper, numpy_helper

from saliency_engine.numerics.fidelity import HALF, compare
from saliency_exporter.graphs import compute_maps, open_parent
from saliency_exporter.half_precision import halve
from saliency_exporter.sample_frames import collect_frames
from saliency_exporter.variants.variant import Variant, list_files, publish, tag


def fp16(path: Path, output: Path, clips: Sequence[str]) -> dict[str, Any]:
    """Write the model ``path`` in half precision; returns the manifest.

    It is measured by its float32 twin (see ``make_twin``). Raises ``ModelError`` when the graph cannot be converted or
    misses the gate.
    """
    files = list_files(path, output, "--frames", clips)
    parent = open_parent(path)
    content = tag(parent, "fp16", halve(parent.load(), str(path)))
    frames = collect_frames(clips, *parent.size, files)
    figures = compare(compute_maps(parent.data, frames), compute_maps(make_twin(content), frames))
    settings = {
        "measured": "as its float32 twin: every tensor rounded to half precision, sums within an operator in float32"
    }
    return publish(parent, Variant("fp16", content, figures, settings), HALF, output, clips)


def make_twin(content: bytes) -> bytes:
    """The half-precision graph in float32, with every tensor that is half there rounded to half precision.

    On the CPU, ONNX Runtime computes a half-precision graph in float32 and leaves most of the roundings out, so that
    running the file itself there would measure little more than its weights. The twin rounds as a GPU stores.
    """
    model = onnx.load_from_string(content)
    inferred = onnx.shape_inference.infer_shapes(model)
    halves = {v.name for v in inferred.graph.value_info if v.type.tensor_type.elem_type == TensorProto.FLOAT16}
    for tensor in model.graph.initializer:
        _widen(tensor)
    nodes = []
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.name == "to" and attribute.i == TensorProto.FLOAT16:
                attribute.i = TensorProto.FLOAT
            elif attribute.name == "value":
                _widen(attribute.t)
        rounded = [name for name in node.output if name in halves]
        node.output[:] = [f"{name}__wide" if name in halves else name for name in node.output]
        nodes.append(node)
        for name in rounded:
            nodes.append(helper.make_node("Cast", [f"{name}__wide"], [f"{name}__half"], to=TensorProto.FLOAT16))
            nodes.append(helper.make_node("Cast", [f"{name}__half"], [name], to=TensorProto.FLOAT))
    return _rebuild(model, nodes)


def _widen(tensor: TensorProto) -> None:
    """Turn a half-precision tensor into float32, and leave others alone."""
    if tensor.data_type == TensorProto.FLOAT16:
        wide = numpy_helper.to_array(tensor).astype(np.float32)
        tensor.CopyFrom(numpy_helper.from_array(wide, tensor.name))


def _rebuild(model: ModelProto, nodes: Sequence[onnx.NodeProto]) -> bytes:
    """The model with these nodes, and without the shapes inferred for the old ones."""
    graph = helper.make_graph(
        nodes, model.graph.name, model.graph.input, model.graph.output, list(model.graph.initializer)
    )
    wide = helper.make_model(graph, opset_imports=list(model.opset_import), ir_version=model.ir_version)
    data: bytes = wide.SerializeToString()
    return data
