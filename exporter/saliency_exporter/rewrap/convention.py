"""How an upstream graph takes pictures and gives maps, where that is not as ``saliency-batch`` runs models.

Everything here stands twice, on purpose: as numpy, which feeds the upstream file as it is, and as nodes, which make the
mirror of it. The two are compared, pixel by pixel, before anything is written.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

from saliency_engine.errors import ModelError
from saliency_engine.numerics.normalize import IMAGENET_MEAN, IMAGENET_STD
from saliency_exporter.sample_frames import Frames

_MEAN, _STD = (np.reshape(np.asarray(values, np.float32), (1, 3, 1, 1)) for values in (IMAGENET_MEAN, IMAGENET_STD))
Pictures = NDArray[np.uint8]


@dataclass(frozen=True)
class Convention:
    """What an upstream graph takes and gives. The defaults are what ``saliency-batch`` feeds and expects."""

    layout: str = "nchw"
    """``nchw`` or ``nhwc``: the order of the input's dimensions."""
    range: str = "imagenet"
    """``imagenet`` (R'G'B' in [0, 1], less ImageNet's mean, by its deviation), ``0-1`` or ``0-255``."""
    channels: str = "rgb"
    """``rgb`` or ``bgr``. Each colour keeps its own mean and deviation."""
    activation: str = "none"
    """``sigmoid``: the graph gives logits. ``none``: it gives values in [0, 1]."""
    element: int = TensorProto.FLOAT
    """Element type of the input: float32, float16 or uint8."""

    def describe(self) -> str:
        """In words, as for example ``rgb 0-255 nhwc uint8``."""
        kind = helper.tensor_dtype_to_np_dtype(self.element)
        return f"{self.channels} {self.range} {self.layout} {kind}"

    def feed(self, pictures: Pictures) -> NDArray[Any]:
        """What the upstream graph is given for ``pictures``, 8-bit R'G'B' ``[n, 3, H, W]``."""
        values = pictures.astype(np.float32)
        if self.range != "0-255":
            values /= np.float32(255)
        if self.range == "imagenet":
            values = (values - _MEAN) / _STD
        if self.channels == "bgr":
            values = values[:, ::-1]
        if self.layout == "nhwc":
            values = values.transpose(0, 2, 3, 1)
        return np.ascontiguousarray(values, helper.tensor_dtype_to_np_dtype(self.element))

    def make_input_nodes(self, taken: str, given: str) -> list[NodeProto]:
        """Nodes from normalised frames ``taken`` to ``given``, which upstream's graph takes; none where both agree."""
        chain = _Chain(taken)
        if self.range != "imagenet":
            white = np.float32(255 if self.range == "0-255" else 1)
            chain.add("Mul", chain.constant(_STD * white))
            chain.add("Add", chain.constant(_MEAN * white))
        if self.channels == "bgr":
            chain.add("Gather", chain.constant(np.array([2, 1, 0])), axis=1)
        if self.layout == "nhwc":
            chain.add("Transpose", perm=[0, 2, 3, 1])
        if self.element == TensorProto.UINT8:  # a cast cuts off, so that half a step rounds to the nearest
            chain.add("Add", chain.constant(np.float32(0.5)))
            chain.add("Clip", chain.constant(np.float32(0)), chain.constant(np.float32(255)))
        if self.element != TensorProto.FLOAT:
            chain.add("Cast", to=self.element)
        return chain.end(given)


@dataclass(frozen=True)
class MapForm:
    """How an upstream graph's maps lie in memory, as a run of it showed."""

    axes: str
    """``nchw``, ``nhwc`` or ``nhw``."""
    two_classes: bool
    """Background and object, in this order."""
    float32: bool
    sigmoid: bool
    """Whether they are logits."""

    def read(self, values: NDArray[Any]) -> NDArray[np.float32]:
        """The maps float32 ``[n, H, W]`` that the upstream graph's ``values`` are."""
        maps = values.astype(np.float32)
        if self.axes != "nhw":
            maps = maps if self.axes == "nchw" else maps.transpose(0, 3, 1, 2)
            logits = maps[:, 1] - maps[:, 0] if self.sigmoid and self.two_classes else maps[:, -1]
        else:
            logits = maps
        return np.asarray(1 / (1 + np.exp(-logits)) if self.sigmoid else logits, np.float32)

    def make_output_nodes(self, taken: str, given: str) -> list[NodeProto]:
        """Nodes from the upstream graph's ``taken`` to the maps ``given``, float32 ``[N, 1, H, W]``."""
        chain = _Chain(taken)
        if not self.float32:
            chain.add("Cast", to=TensorProto.FLOAT)
        if self.axes == "nhw":
            chain.add("Unsqueeze", chain.constant(np.array([1])))
        if self.axes == "nhwc":
            chain.add("Transpose", perm=[0, 3, 1, 2])
        if self.two_classes and self.sigmoid:  # the softmax of two is the sigmoid of their difference
            chain.add("Conv", chain.constant(np.array([-1, 1], np.float32).reshape(1, 2, 1, 1)))
        elif self.two_classes:
            chain.add("Gather", chain.constant(np.array([1])), axis=1)
        if self.sigmoid:
            chain.add("Sigmoid")
        return chain.end(given)


def read_form(values: NDArray[Any], activation: str) -> MapForm:
    """How ``values``, which a graph gave for frames along the first axis, hold their maps.

    Raises ``ModelError`` where they are no maps of one class or two.
    """
    shape, two = values.shape, False
    if values.ndim == 3:
        axes = "nhw"
    elif values.ndim == 4 and (shape[1] in (1, 2) or shape[3] in (1, 2)):
        axes = "nchw" if shape[1] in (1, 2) else "nhwc"
        two = shape[axes.index("c")] == 2
    else:
        raise ModelError(
            f"it gives a frame {list(shape[1:])}: a map is [1, H, W], [H, W, 1] or [H, W], or has two "
            "classes, background and object, in place of the one; name another output with --upstream-output"
        )
    if values.dtype not in (np.float32, np.float16):
        raise ModelError(f"it gives {values.dtype}: a map is float32 or float16")
    return MapForm(axes, two, values.dtype == np.float32, activation == "sigmoid")


def to_pictures(frames: Frames) -> tuple[Pictures, Frames]:
    """Normalised ``frames`` ``[n, 3, H, W]`` as 8-bit R'G'B', which every convention can say exactly, and what they are
    when they are normalised again."""
    pictures = np.asarray(np.rint(np.clip(frames * _STD + _MEAN, 0, 1) * 255), np.uint8)
    return pictures, Convention().feed(pictures)


class _Chain:
    """Nodes in a row, each of which takes what the one before gave."""

    def __init__(self, value: str) -> None:
        self._start = self._value = value
        self._nodes: list[NodeProto] = []

    def add(self, operator: str, *constants: str, **attributes: Any) -> None:
        name = f"{self._start} {len(self._nodes)} {operator}"
        self._nodes.append(helper.make_node(operator, [self._value, *constants], [name], name, **attributes))
        self._value = name

    def constant(self, values: Any) -> str:
        name = f"{self._start} {len(self._nodes)} constant"
        tensor = numpy_helper.from_array(np.asarray(values), name)
        self._nodes.append(helper.make_node("Constant", [], [name], name, value=tensor))
        return name

    def end(self, name: str) -> list[NodeProto]:
        """The nodes, the last of which gives ``name``."""
        if self._nodes:
            self._nodes[-1].output[0] = name
        return self._nodes
