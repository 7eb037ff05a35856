"""A network's last stage with four pixels to a place: the same sums, in channels that fill a processor's vectors.

The VMAFx students end at full size with 8 and 16 channels, where ONNX Runtime computes 16 at a time. A convolution of
3×3 pixels gives four neighbours as four times its channels where it takes 4×4 pixels in steps of 2; the head then
spreads them over the map.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, helper, numpy_helper

from saliency_engine.errors import ModelError
from saliency_engine.numerics.fidelity import PARITY, compare
from saliency_exporter.graphs import compute_maps, open_parent, replace_nodes
from saliency_exporter.sample_frames import collect_frames
from saliency_exporter.variants.variant import Variant, list_files, publish, tag

Weights = NDArray[np.float32]
_PHASES = [(row, column) for row in (0, 1) for column in (0, 1)]
_HALVED: dict[str, Any] = {"kernel_shape": [4, 4], "strides": [2, 2], "pads": [1, 1, 1, 1]}


def strided(path: Path, output: Path, clips: Sequence[str]) -> dict[str, Any]:
    """Write the model ``path`` with its last stage in strided convolutions; returns the manifest.

    Raises ``ModelError`` when the model does not end as the VMAFx students do, or its maps are others.
    """
    files = list_files(path, output, "--frames", clips)
    parent = open_parent(path)
    model = parent.load()
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    stage = _find_last_stage(model, weights)
    if stage is None:
        raise ModelError(
            f"{path} does not end as the VMAFx students do: an enlarged branch and its convolution of 3×3 pixels, "
            "joined with another branch, a convolution of 3×3, Relu, one of 1×1, Sigmoid"
        )
    _rewrite(model, stage, weights)
    content = tag(parent, "strided", model.SerializeToString())
    frames = collect_frames(clips, *parent.size, files)
    figures = compare(compute_maps(parent.data, frames), compute_maps(content, frames))
    return publish(parent, Variant("strided", content, figures), PARITY, output, clips)


class _Stage(NamedTuple):
    """The nodes at the end of the graph: ``up`` and a skip are joined by ``join``, which ``last`` reads."""

    up: NodeProto
    join: NodeProto
    last: NodeProto
    head: NodeProto


def _find_last_stage(model: ModelProto, weights: dict[str, Weights]) -> _Stage | None:
    makers = {name: node for node in model.graph.node for name in node.output}
    reads = [name for node in model.graph.node for name in node.input]
    chain = [makers.get(model.graph.output[0].name)]
    for kind in ("Sigmoid", "Conv", "Relu", "Conv", "Concat", "Conv", "Resize"):
        node = chain[-1]
        if node is None or node.op_type != kind or (len(chain) > 1 and reads.count(node.output[0]) != 1):
            return None
        chain.append(makers.get(node.input[0]))
    _, head, _, last, join, up = (node for node in chain[:6] if node is not None)
    sizes = [(head, 1), (last, 3), (up, 3)]
    if len(join.input) != 2 or not all(_is_plain(node, size, weights) for node, size in sizes):
        return None
    return _Stage(up, join, last, head) if len(weights[head.input[1]]) == 1 else None


def _is_plain(node: NodeProto, size: int, weights: dict[str, Weights]) -> bool:
    """Whether one sees ``size`` × ``size`` pixels, gives a map of the same size, and has constant weights."""
    attributes = {one.name: helper.get_attribute_value(one) for one in node.attribute}
    pads = attributes.pop("pads", [0, 0, 0, 0])
    plain = {"kernel_shape": [size, size], "strides": [1, 1], "dilations": [1, 1], "group": 1, "auto_pad": b"NOTSET"}
    return (
        all(name in weights for name in node.input[1:])
        and weights[node.input[1]].shape[2:] == (size, size)
        and pads == [size // 2] * 4
        and all(plain.get(name) == value for name, value in attributes.items())
    )


def _rewrite(model: ModelProto, stage: _Stage, weights: dict[str, Weights]) -> None:
    up, join, last, head = stage
    skip_from = weights[up.input[1]].shape[0]

    def add(name: str, values: Weights) -> str:
        model.graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def biases(node: NodeProto) -> list[str]:
        return [add(f"{name}__strided", np.tile(weights[name], 4)) for name in node.input[2:]]

    kernel = weights[last.input[1]]
    halved = [add("up__halved", _halve(weights[up.input[1]])), *biases(up)]
    of_skip = [add("skip__halved", _halve(kernel[:, skip_from:])), *biases(last)]
    of_up = add("up__phases", _halve_both(kernel[:, :skip_from]))
    spread = add("head__spread", _spread(weights[head.input[1]]))
    made = {
        up.output[0]: [helper.make_node("Conv", [up.input[0], *halved], up.output, **_HALVED)],
        join.output[0]: [],
        last.output[0]: [
            helper.make_node("Conv", [join.input[1], *of_skip], ["skip__part"], **_HALVED),
            helper.make_node("Conv", [up.output[0], of_up], ["up__part"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
            helper.make_node("Add", ["skip__part", "up__part"], last.output),
        ],
        head.output[0]: [
            helper.make_node(
                "ConvTranspose",
                [head.input[0], spread, *head.input[2:]],
                head.output,
                kernel_shape=[2, 2],
                strides=[2, 2],
            )
        ],
    }
    replace_nodes(model, [new for node in model.graph.node for new in made.get(node.output[0], [node])])
    del model.graph.value_info[:]  # the old shapes
    read = {name for node in model.graph.node for name in node.input}
    for tensor in [tensor for tensor in model.graph.initializer if tensor.name not in read]:
        model.graph.initializer.remove(tensor)


def _halve(kernel: Weights) -> Weights:
    """Of weights ``[o, i, 3, 3]`` at every pixel those ``[4·o, i, 4, 4]`` at every other that give four pixels."""
    wide = np.zeros((4, *kernel.shape[:2], 4, 4), np.float32)
    for at, (row, column) in enumerate(_PHASES):
        wide[at, :, :, row : row + 3, column : column + 3] = kernel
    return wide.reshape(-1, *wide.shape[2:])


def _halve_both(kernel: Weights) -> Weights:
    """The same, ``[4·o, 4·i, 3, 3]``, where what it reads has four pixels in its channels, too."""
    outputs, inputs = kernel.shape[:2]
    wide = np.zeros((4, outputs, 4, inputs, 3, 3), np.float32)
    for at, (row, column) in enumerate(_PHASES):
        for y, x in np.ndindex(3, 3):
            (place_y, phase_y), (place_x, phase_x) = divmod(row + y - 1, 2), divmod(column + x - 1, 2)
            wide[at, :, 2 * phase_y + phase_x, :, place_y + 1, place_x + 1] = kernel[:, :, y, x]
    return wide.reshape(4 * outputs, 4 * inputs, 3, 3)


def _spread(head: Weights) -> Weights:
    """Of the head ``[1, o, 1, 1]`` the transposed one ``[4·o, 1, 2, 2]`` that puts four pixels where they belong."""
    wide = np.zeros((4, head.shape[1], 1, 2, 2), np.float32)
    for at, (row, column) in enumerate(_PHASES):
        wide[at, :, 0, row, column] = head[0, :, 0, 0]
    return wide.reshape(-1, *wide.shape[2:])
