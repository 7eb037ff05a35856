"""A built-in model: frequency-tuned saliency as an ONNX graph, without training, weights or randomness.

Source of the method: R. Achanta, S. Hemami, F. Estrada, S. Süsstrunk, "Frequency-tuned Salient Region Detection",
CVPR 2009: S(x, y) = ‖I_μ − I_ωhc(x, y)‖, with I_μ the image's mean CIE Lab vector and I_ωhc the Lab image blurred
with the separable 5×5 binomial kernel. Colours: IEC 61966-2-1 (sRGB), CIE 15 (Lab, D65 white).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from onnx import ModelProto, NodeProto, TensorProto, checker, helper, numpy_helper

from saliency_engine.numerics.normalize import IMAGENET_MEAN, IMAGENET_STD

MODEL_ID = "frequency_tuned_v1"
OPSET = 17
IR_VERSION = 8  # the one that opset 17 came with: any ONNX Runtime that knows the operators loads the file

# IEC 61966-2-1; its rows sum to the D65 white (0.9505, 1, 1.0890), so that greys get a = b = 0.
RGB_TO_XYZ = ((0.4124, 0.3576, 0.1805), (0.2126, 0.7152, 0.0722), (0.0193, 0.1192, 0.9505))
SRGB_KNEE = 0.04045
LAB_KNEE = (6 / 29) ** 3
# L = 116 f(Y) − 16, a = 500 (f(X) − f(Y)), b = 200 (f(Y) − f(Z))
F_TO_LAB = ((0.0, 116.0, 0.0), (500.0, -500.0, 0.0), (0.0, 200.0, -200.0))
LAB_OFFSET = (-16.0, 0.0, 0.0)
BINOMIAL = (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16)
LEAST_RANGE = 1.0
"""In Lab units, about one just noticeable difference. A frame whose distances span less is not stretched to the full
range: that would show rounding and coding noise, and would divide by zero for a frame of one colour."""

METADATA = {
    "lusoris.model_id": MODEL_ID,
    "lusoris.conversion": "written as a graph by saliency_exporter.frequency_tuned; no trained weights",
    "lusoris.source": "Achanta, Hemami, Estrada, Suesstrunk: Frequency-tuned Salient Region Detection, CVPR 2009",
    "lusoris.license": "Apache-2.0",
}


def build(height: int = 320, width: int = 320) -> bytes:
    """The model as serialized ONNX: the same bytes every time.

    Input ``input``, float32 ``[N, 3, height, width]``: sRGB in [0, 1] after ImageNet normalisation. The graph undoes
    the normalisation and clips what is then outside [0, 1]. Output ``saliency_map``, float32 ``[N, 1, height, width]``
    in [0, 1]: each frame's distances minus their minimum, over their range (at least ``LEAST_RANGE``). A frame's map
    does not depend on the other frames of the call.

    Raises ``ValueError`` when height or width is less than 1.
    """
    if height < 1 or width < 1:
        raise ValueError(f"height and width must be at least 1, not {height} and {width}")
    graph = _Graph()
    lab = _convert_to_lab(graph, "input")
    distance = _measure_distance(graph, lab)
    _scale_per_frame(graph, distance, "saliency_map")
    model = graph.finish(height, width)
    checker.check_model(model, full_check=True)
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def _convert_to_lab(graph: _Graph, normalised: str) -> str:
    """ImageNet-normalised sRGB to CIE Lab, in Lab units.

    Both curves are piecewise, and loaders do not admit the operator ``Where``. So each curve is written as
    power(max(x, knee)) + line(min(x, knee)) − line(knee), where one of the first two terms is always constant.
    """
    scaled = graph.add("Mul", normalised, graph.store_channels("imagenet_std", IMAGENET_STD))
    shifted = graph.add("Add", scaled, graph.store_channels("imagenet_mean", IMAGENET_MEAN))
    rgb = graph.add("Clip", shifted, graph.store("zero", 0.0), graph.store("one", 1.0))

    knee = graph.store("srgb_knee", SRGB_KNEE)
    offset = graph.add("Add", graph.add("Max", rgb, knee), graph.store("srgb_offset", 0.055))
    base = graph.add("Div", offset, graph.store("srgb_divisor", 1.055))
    power = graph.add("Pow", base, graph.store("srgb_gamma", 2.4))
    below = graph.add("Sub", graph.add("Min", rgb, knee), knee)
    line = graph.add("Div", below, graph.store("srgb_slope", 12.92))
    linear = graph.add("Add", power, line)

    matrix = np.array(RGB_TO_XYZ)
    relative = matrix / matrix.sum(axis=1, keepdims=True)  # over the white: X/Xn, Y/Yn, Z/Zn
    xyz = graph.add("Conv", linear, graph.store("rgb_to_xyz", relative.reshape(3, 3, 1, 1)))

    knee = graph.store("lab_knee", LAB_KNEE)
    root = graph.add("Pow", graph.add("Max", xyz, knee), graph.store("third", 1 / 3))
    below = graph.add("Sub", graph.add("Min", xyz, knee), knee)
    line = graph.add("Mul", below, graph.store("lab_slope", (29 / 6) ** 2 / 3))
    f = graph.add("Add", root, line)
    weights = graph.store("f_to_lab", np.array(F_TO_LAB).reshape(3, 3, 1, 1))
    return graph.add("Conv", f, weights, graph.store("lab_offset", LAB_OFFSET))


def _measure_distance(graph: _Graph, lab: str) -> str:
    """Euclidean distance in Lab between the frame's mean and its blurred pixels; edge pixels are repeated outwards.

    The mean is subtracted before the blur. The kernel sums to 1, so the result is the same as after it, and float32
    keeps more of the small differences. The mean is taken over each row, then over the rows: summed in one go, float32
    lost 3e-3 of the output's range on a frame of very low contrast.
    """
    row_means = graph.add("ReduceMean", lab, axes=[3], keepdims=1)
    mean = graph.add("ReduceMean", row_means, axes=[2], keepdims=1)
    contrast = graph.add("Sub", lab, mean)
    padded = graph.add("Pad", contrast, graph.store("border", [0, 0, 2, 2, 0, 0, 2, 2], np.int64), mode="edge")
    kernel = np.tile(BINOMIAL, (3, 1))
    rows = graph.add("Conv", padded, graph.store("blur_rows", kernel.reshape(3, 1, 1, 5)), group=3)
    blurred = graph.add("Conv", rows, graph.store("blur_columns", kernel.reshape(3, 1, 5, 1)), group=3)
    squares = graph.add("Mul", blurred, blurred)
    return graph.add("Sqrt", graph.add("ReduceSum", squares, graph.store("channel_axis", [1], np.int64), keepdims=1))


def _scale_per_frame(graph: _Graph, distance: str, output: str) -> None:
    """Add (d − min d) / max(max d − min d, ``LEAST_RANGE``) within each frame."""
    low = graph.add("ReduceMin", distance, axes=[1, 2, 3], keepdims=1)
    above = graph.add("Sub", distance, low)
    high = graph.add("ReduceMax", above, axes=[1, 2, 3], keepdims=1)
    span = graph.add("Max", high, graph.store("least_range", LEAST_RANGE))
    graph.add("Div", above, span, output=output)


class _Graph:
    """Nodes and constants in the order they are added, so that the file's bytes follow from the code alone."""

    def __init__(self) -> None:
        self._nodes: list[NodeProto] = []
        self._constants: list[TensorProto] = []

    def add(self, kind: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        """Append a node of type ``kind``; returns the name of its output."""
        name = f"{len(self._nodes):02d}_{kind.lower()}"
        result = output or name
        self._nodes.append(helper.make_node(kind, list(inputs), [result], name=name, **attributes))
        return result

    def store(self, name: str, value: ArrayLike, dtype: type[np.generic] = np.float32) -> str:
        """Store a constant; returns its name."""
        array: NDArray[np.generic] = np.asarray(value, dtype=dtype)
        self._constants.append(numpy_helper.from_array(array, name))
        return name

    def store_channels(self, name: str, values: tuple[float, float, float]) -> str:
        """Store one value per channel, shaped to broadcast over NCHW; returns its name."""
        return self.store(name, np.reshape(values, (1, 3, 1, 1)))

    def finish(self, height: int, width: int) -> ModelProto:
        """The model, with the names, shapes and metadata of the contract."""
        ends = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", channels, height, width])
            for name, channels in (("input", 3), ("saliency_map", 1))
        ]
        graph = helper.make_graph(self._nodes, MODEL_ID, ends[:1], ends[1:], self._constants)
        model = helper.make_model(
            graph,
            ir_version=IR_VERSION,
            opset_imports=[helper.make_opsetid("", OPSET)],
            producer_name="saliency_exporter",
        )
        helper.set_model_props(model, METADATA)
        return model
