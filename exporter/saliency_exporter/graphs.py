"""What an ONNX graph must be to go out: checked, signed with metadata, and run."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from numpy.typing import NDArray
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, helper

from saliency_engine.errors import ModelError
from saliency_engine.models.graph.operators import ADMITTED

MOST_IR = 10
"""The newest IR version that files go out with; ONNX Runtime reads it since 1.18."""
MODEL_ID = "lusoris.model_id"


@dataclass(frozen=True)
class Parent:
    """A float32 model that a variant is made of: its bytes, their sha256, and the id its rows are tagged with."""

    path: Path
    data: bytes
    model_id: str
    inputs: list[int | str]
    outputs: list[int | str]

    @property
    def sha256(self) -> str:
        """Lower-case hex digest of the bytes."""
        return hashlib.sha256(self.data).hexdigest()

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) frames are measured at: the graph's own, 320 where it is free."""
        height, width = (size if isinstance(size, int) else 320 for size in self.inputs[2:])
        return height, width

    def model(self) -> ModelProto:
        """A fresh copy of the graph."""
        return onnx.load_from_string(self.data)


def open_parent(path: Path) -> Parent:
    """Read a model. Raises ``ModelError`` when it is unreadable or not one float32 input, one float32 map."""
    try:
        data = path.read_bytes()
        model = onnx.load_from_string(data)
        onnx.checker.check_model(model)
    except OSError as error:
        raise ModelError(f"cannot read the model {path}: {error.strerror or error}") from error
    except (DecodeError, onnx.checker.ValidationError, ValueError) as error:
        raise ModelError(f"{path} is not a valid ONNX model: {_brief(error)}") from error
    inputs, outputs = signature(model)
    if len(inputs) != 4 or inputs[1] != 3 or len(outputs) != 4 or outputs[1] != 1:
        raise ModelError(
            f"{path} is not a saliency model: it takes {inputs} and gives {outputs}, not [N, 3, H, W] and [N, 1, H, W]"
        )
    return Parent(path, data, metadata(model).get(MODEL_ID) or path.stem, inputs, outputs)


def signature(model: ModelProto) -> tuple[list[int | str], list[int | str]]:
    """Dimensions of the one float32 input and the one float32 output. Raises ``ModelError`` for anything else."""
    held = {tensor.name for tensor in model.graph.initializer}
    ends = ([value for value in model.graph.input if value.name not in held], list(model.graph.output))
    if any(len(end) != 1 or end[0].type.tensor_type.elem_type != TensorProto.FLOAT for end in ends):
        raise ModelError("not a saliency model: it must have one float32 input and one float32 output")
    return _dimensions(ends[0][0]), _dimensions(ends[1][0])


def metadata(model: ModelProto) -> dict[str, str]:
    """The model's metadata properties."""
    return {entry.key: entry.value for entry in model.metadata_props}


def finish(model: ModelProto, properties: Mapping[str, str]) -> bytes:
    """Set the metadata and serialize: the same bytes for the same graph.

    Raises ``ModelError`` when the graph is not valid, its IR version is newer than ``MOST_IR``, or it uses an
    operator or domain that is not admitted.
    """
    del model.metadata_props[:]
    helper.set_model_props(model, dict(sorted(properties.items())))
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ModelError(f"the graph that was made is not valid: {_brief(error)}") from error
    if model.ir_version > MOST_IR:
        raise ModelError(f"the graph has IR version {model.ir_version}; loaders take {MOST_IR} at most")
    foreign = sorted({entry.domain for entry in model.opset_import if entry.domain not in {"", "ai.onnx"}})
    used = {(node.domain, node.op_type) for node in nodes(model.graph)}
    refused = sorted(
        op if domain in {"", "ai.onnx"} else f"{domain}.{op}"
        for domain, op in used
        if domain not in {"", "ai.onnx"} or op not in ADMITTED
    )
    if refused or foreign or model.functions:
        raise ModelError(
            f"the graph uses operators that loaders refuse: {', '.join(refused or foreign or ['functions'])}"
        )
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def put_in_order(model: ModelProto) -> None:
    """Sort the nodes so that each comes after those it reads, otherwise as they were."""
    made = {tensor.name for tensor in model.graph.initializer} | {value.name for value in model.graph.input} | {""}
    waiting, ordered = list(model.graph.node), []
    while waiting:
        ready = next((node for node in waiting if made.issuperset(node.input)), waiting[0])
        waiting.remove(ready)
        ordered.append(NodeProto.FromString(ready.SerializeToString()))
        made.update(ready.output)
    del model.graph.node[:]
    model.graph.node.extend(ordered)


def nodes(graph: GraphProto) -> Iterator[NodeProto]:
    """Every node, those in the bodies of ``Loop`` and ``If`` too."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            bodies = [attribute.g] if attribute.type == AttributeProto.GRAPH else attribute.graphs
            for body in bodies:
                yield from nodes(body)


def maps_of(data: bytes, frames: NDArray[np.float32]) -> NDArray[np.float32]:
    """Saliency maps float32 ``[n, H, W]`` of ``frames`` by ONNX Runtime on the CPU, the last batch padded.

    Raises ``ModelError`` when the model does not run, or gives something else than one map a frame.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        name, batch = session.get_inputs()[0].name, session.get_inputs()[0].shape[0]
        step = batch if isinstance(batch, int) else 1
        padded = np.concatenate([frames, np.repeat(frames[-1:], -len(frames) % step, axis=0)])
        parts = [session.run(None, {name: padded[at : at + step]})[0] for at in range(0, len(padded), step)]
    except Exception as error:  # onnxruntime's errors share no base class but Exception
        raise ModelError(f"the model does not run at {list(frames.shape[1:])}: {_brief(error)}") from error
    maps = np.concatenate(parts)[: len(frames)]
    if maps.ndim != 4 or maps.shape[:2] != (len(frames), 1):
        raise ModelError(f"the model gave maps of shape {list(maps.shape)} for {len(frames)} frames")
    return np.asarray(maps[:, 0], np.float32)


def _dimensions(value: ValueInfoProto) -> list[int | str]:
    return [size.dim_param or size.dim_value for size in value.type.tensor_type.shape.dim]


def _brief(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
