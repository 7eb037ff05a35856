"""Small ONNX files as their authors might ship them, and what saliency-export makes of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from click.testing import Result
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper
from tests.exporter.upstream import saliency_export

MEAN = np.array((0.485, 0.456, 0.406), np.float32).reshape(1, 3, 1, 1)
STD = np.array((0.229, 0.224, 0.225), np.float32).reshape(1, 3, 1, 1)
SIZE = (32, 48)
"""(height, width) of every file."""
_rng = np.random.default_rng(16)
WEIGHTS = {
    "w1": _rng.normal(size=(1, 3, 3, 3)).astype(np.float32),
    "w2": _rng.normal(size=(1, 3, 3, 3)).astype(np.float32),
    "fuse": np.array([1.0, -1.5], np.float32).reshape(1, 2, 1, 1),
}
D0 = [
    helper.make_node("Conv", ["x", "w1"], ["side1"], pads=[1] * 4),
    helper.make_node("Conv", ["x", "w2"], ["side2"], pads=[1] * 4),
    helper.make_node("Concat", ["side1", "side2"], ["sides"], axis=1),
    helper.make_node("Conv", ["sides", "fuse"], ["d0"]),
]
"""From normalised NCHW frames ``x`` to logits ``d0``, fused of two sides, as U-2-Net's."""


def make_file(
    path: Path,
    nodes: Sequence[NodeProto],
    *,
    frames: Sequence[int | str] = (1, 3, *SIZE),
    outputs: Sequence[tuple[str, Sequence[int | str]]],
    element: int = TensorProto.FLOAT,
    given: int = TensorProto.FLOAT,
    name: str = "input.1",
    opset: int = 11,
    **constants: Any,
) -> Path:
    """Write a graph from ``name`` to ``outputs``; unused weights are in it, too, as in files that a trainer left."""
    values = {**WEIGHTS, **constants}
    graph = helper.make_graph(
        list(nodes),
        "upstream",
        [helper.make_tensor_value_info(name, element, frames)],
        [helper.make_tensor_value_info(output, given, shape) for output, shape in outputs],
        [numpy_helper.from_array(np.asarray(value), key) for key, value in values.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=6), path)
    return path


def take(name: str = "input.1") -> NodeProto:
    return helper.make_node("Identity", [name], ["x"])


def sigmoid(value: str, name: str) -> NodeProto:
    return helper.make_node("Sigmoid", [value], [name])


def seven_fold(path: Path, order: Sequence[str] = ("1959", "1960", "1961"), **options: Any) -> Path:
    """d0 and the sides it is fused of, each through its sigmoid, as rembg's u2net.onnx gives them."""
    nodes = [take(), *D0, sigmoid("d0", "1959"), sigmoid("side1", "1960"), sigmoid("side2", "1961")]
    return make_file(path, nodes, outputs=[(name, (1, 1, *SIZE)) for name in order], **options)


def rewrap(path: Path, *options: object, output: str = "mirror.onnx") -> Result:
    return saliency_export("rewrap", path, "--output", path.with_name(output), *options)


def made(path: Path, *options: object) -> ModelProto:
    """What ``rewrap`` makes of a file."""
    result = rewrap(path, *options)
    assert result.exit_code == 0, result.output
    return onnx.load(path.with_name("mirror.onnx"))


def refused(path: Path, *options: object) -> str:
    """Why ``rewrap`` makes nothing of a file; nothing may be left."""
    before = sorted(path.parent.iterdir())
    result = rewrap(path, *options)
    assert (result.exit_code, sorted(path.parent.iterdir())) == (2, before), result.output
    assert "Traceback" not in result.output
    return str(result.stderr)


def draw_frames(count: int) -> NDArray[np.float32]:
    """8-bit pictures, normalised as the engine does."""
    pictures = np.random.default_rng(5).integers(0, 256, (count, 3, *SIZE)).astype(np.float32)
    return np.asarray((pictures / 255 - MEAN) / STD, np.float32)


def run(model: ModelProto | Path, frames: NDArray[Any], output: str | None = None) -> NDArray[Any]:
    data = model.read_bytes() if isinstance(model, Path) else model.SerializeToString()
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    return np.asarray(session.run([output] if output else None, {session.get_inputs()[0].name: frames})[0])


def signature(model: ModelProto) -> list[tuple[str, int, list[int]]]:
    ends = [*model.graph.input, *model.graph.output]
    return [(e.name, e.type.tensor_type.elem_type, [d.dim_value for d in e.type.tensor_type.shape.dim]) for e in ends]
