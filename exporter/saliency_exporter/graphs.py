"""What an ONNX graph must be before it is written: checked, given its metadata, and run."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, helper

from saliency_engine.errors import ModelError
from saliency_engine.models.entry import id_of_file, read_model
from saliency_engine.models.graph.inspect import parse_model, read_graph
from saliency_engine.models.graph.operators import ADMITTED

NEWEST_IR = 10
"""The newest IR version that files are written with; ONNX Runtime reads it since 1.18."""
_WEIGHTS_ALONE = 4
"""The IR version from which on weights need not be inputs."""
MODEL_ID_KEY = "lusoris.model_id"
_STANDARD_DOMAINS = frozenset({"", "ai.onnx"})


@dataclass(frozen=True)
class Parent:
    """A float32 model that a variant is made from."""

    path: Path
    data: bytes
    """The whole file."""
    model_id: str
    """The id in its metadata, else the file's stem: what its rows are tagged with."""
    input_shape: list[int | str]
    """``[N, 3, H, W]``; a dimension that the graph leaves free is its name, a text."""
    output_shape: list[int | str]
    """``[N, 1, H, W]``, free dimensions likewise."""

    @property
    def sha256(self) -> str:
        """Lower-case hex digest of the file."""
        return hashlib.sha256(self.data).hexdigest()

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels that frames are measured at: the graph's own, 320 where it is free."""
        height, width = (size if isinstance(size, int) else 320 for size in self.input_shape[2:])
        return height, width

    def load(self) -> ModelProto:
        """A fresh copy of the graph; see ``load_graph``."""
        return load_graph(self.data)


def load_graph(data: bytes) -> ModelProto:
    """The graph of a model's bytes, whose only input are the frames."""
    model = onnx.load_from_string(data)
    _keep_frames(model)
    return model


def _keep_frames(model: ModelProto) -> None:
    """Take the weights out of the graph's inputs, among which older files have them, in any order."""
    weights = {tensor.name for tensor in model.graph.initializer}
    frames = [value for value in model.graph.input if value.name not in weights]
    if len(frames) < len(model.graph.input):
        del model.graph.input[:]
        model.graph.input.extend(frames)
        model.ir_version = max(model.ir_version, _WEIGHTS_ALONE)


def open_parent(path: Path) -> Parent:
    """Read a model.

    Raises ``ModelError`` when it cannot be read, or does not have one float32 input ``[N, 3, H, W]`` and one float32
    output ``[N, 1, H, W]``, free sizes by name.
    """
    data = read_model(path)
    try:
        model = parse_model(data)
        onnx.checker.check_model(model)
    except (ModelError, onnx.checker.ValidationError, ValueError) as error:
        raise ModelError(f"{path} is not a valid ONNX model: {_shorten(error)}") from error
    takes, gives = read_shapes(model, str(path))
    if any(isinstance(size, int) and size < 1 for size in takes):
        raise ModelError(
            f"{path} states the input shape {takes}, in which a size is not positive: name the free sizes first, with "
            "onnx.tools.update_model_dims"
        )
    if len(takes) != 4 or takes[1] != 3 or len(gives) != 4 or gives[1] != 1:
        raise ModelError(
            f"{path} is not a saliency model: it takes {takes} and gives {gives}; a saliency model takes [N, 3, H, W] "
            "and gives [N, 1, H, W]"
        )
    return Parent(path, data, read_metadata(model).get(MODEL_ID_KEY) or id_of_file(path), takes, gives)


def read_shapes(model: ModelProto, name: str) -> tuple[list[int | str], list[int | str]]:
    """Shapes of the one float32 input and the one float32 output.

    Raises ``ModelError``, which calls the model ``name``, when there are more or others.
    """
    weights = {tensor.name for tensor in model.graph.initializer}
    ends = ([value for value in model.graph.input if value.name not in weights], list(model.graph.output))
    if any(len(end) != 1 or end[0].type.tensor_type.elem_type != TensorProto.FLOAT for end in ends):
        raise ModelError(f"{name} is not a saliency model: it must have one float32 input and one float32 output")
    return _read_shape(ends[0][0]), _read_shape(ends[1][0])


def read_metadata(model: ModelProto) -> dict[str, str]:
    """The model's metadata properties."""
    return {entry.key: entry.value for entry in model.metadata_props}


def finish_model(model: ModelProto, properties: Mapping[str, str]) -> bytes:
    """Set the metadata and serialize; the same graph gives the same bytes.

    Raises ``ModelError`` when the graph is not valid, its IR version is newer than ``NEWEST_IR``, or the engine would
    not load it.
    """
    del model.metadata_props[:]
    helper.set_model_props(model, dict(sorted(properties.items())))
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ModelError(f"the graph that was made is not valid: {_shorten(error)}") from error
    if model.ir_version > NEWEST_IR:
        raise ModelError(f"the graph has IR version {model.ir_version}; loaders take at most version {NEWEST_IR}")
    content: bytes = model.SerializeToString(deterministic=True)
    try:
        refused = sorted(read_graph(content).operators - ADMITTED)
    except ModelError as error:
        raise ModelError(f"loaders refuse the graph that was made: {error}") from error
    if refused:
        raise ModelError(f"the graph uses operators that loaders refuse: {', '.join(refused)}")
    foreign = sorted({entry.domain for entry in model.opset_import} - _STANDARD_DOMAINS)
    if foreign:
        raise ModelError(f"the graph imports operator sets that loaders refuse: {', '.join(foreign)}")
    return content


def sort_nodes(model: ModelProto) -> None:
    """Sort the nodes so that each comes after those it reads; otherwise they keep their order."""
    made = {tensor.name for tensor in model.graph.initializer} | {value.name for value in model.graph.input} | {""}
    waiting, ordered = list(model.graph.node), []
    while waiting:
        ready = next((node for node in waiting if made.issuperset(node.input)), waiting[0])
        waiting.remove(ready)
        ordered.append(ready)
        made.update(ready.output)
    replace_nodes(model, ordered)


def replace_nodes(model: ModelProto, nodes: list[NodeProto]) -> None:
    """Give the graph these nodes, which may be its own."""
    copies = [NodeProto.FromString(node.SerializeToString()) for node in nodes]  # ``del`` would empty its own
    del model.graph.node[:]
    model.graph.node.extend(copies)


def open_session(data: bytes, **options: Any) -> onnxruntime.InferenceSession:
    """A session of ONNX Runtime on the CPU that logs errors only; ``options`` are set on its ``SessionOptions``."""
    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = 3
    for name, value in options.items():
        setattr(settings, name, value)
    return onnxruntime.InferenceSession(data, settings, providers=["CPUExecutionProvider"])


def read_input(session: onnxruntime.InferenceSession) -> tuple[str, int]:
    """Name of the session's input, and its frames per call: 1 where the graph leaves them free."""
    value = session.get_inputs()[0]
    return value.name, value.shape[0] if isinstance(value.shape[0], int) else 1


def compute_maps(
    data: bytes, frames: NDArray[np.float32], show: Callable[[int], None] | None = None
) -> NDArray[np.float32]:
    """Saliency maps float32 ``[n, H, W]`` of ``frames`` ``[n, 3, H, W]`` by ONNX Runtime on the CPU.

    ``show`` is given the number of frames that are done. Raises ``ModelError`` when the model does not run, or does not
    give one map per frame.
    """
    maps = run_in_calls(data, frames, show=show)
    if maps.ndim != 4 or maps.shape[:2] != (len(frames), 1):
        raise ModelError(f"the model gave maps of shape {list(maps.shape)} for {len(frames)} frames")
    return np.asarray(maps[:, 0], np.float32)


def run_in_calls(
    data: bytes, frames: NDArray[Any], output: str | None = None, show: Callable[[int], None] | None = None
) -> NDArray[Any]:
    """What a model gives on the CPU as ``output``, by default its first, for ``frames`` along the first axis.

    ``show`` is given the number of frames that are done. The last frame is repeated until the last call is full. Raises
    ``ModelError`` when the model does not run.
    """
    try:
        session = open_session(data)
        name, step = read_input(session)
        wanted = [output or session.get_outputs()[0].name]
        parts: list[NDArray[Any]] = []
        for call in split_into_calls(frames, step):
            if show:
                show(len(parts) * step)
            parts.append(session.run(wanted, {name: call})[0])
        return np.asarray(np.concatenate(parts)[: len(frames)])
    except Exception as error:  # onnxruntime's errors share no base class but Exception
        raise ModelError(f"the model does not run on frames {list(frames.shape[1:])}: {_shorten(error)}") from error


def split_into_calls(frames: NDArray[Any], step: int) -> list[NDArray[Any]]:
    """``frames``, ``step`` at a time; the last one is repeated until the last call is full."""
    padded = np.concatenate([frames, np.repeat(frames[-1:], -len(frames) % step, axis=0)])
    return [padded[at : at + step] for at in range(0, len(padded), step)]


def _read_shape(value: ValueInfoProto) -> list[int | str]:
    return [size.dim_param or size.dim_value for size in value.type.tensor_type.shape.dim]


def _shorten(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
