"""Pictures with a red thing in front, and a teacher that sees what is red."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, helper
from PIL import Image
from tests.small_models import saliency_model

SIDE = 64


def draw_picture(seed: int, side: int = SIDE) -> Image.Image:
    """A soft red disc before two colours that run into each other."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:side, 0:side] / side
    ends = rng.uniform(0.1, 0.8, (2, 3))
    share = np.clip(rows * rng.uniform(-1, 1) + columns * rng.uniform(-1, 1) + 0.5, 0, 1)[..., np.newaxis]
    row, column, radius = rng.uniform(0.2, 0.8), rng.uniform(0.2, 0.8), rng.uniform(0.1, 0.3)
    inside = 1 / (1 + np.exp((np.hypot(rows - row, columns - column) - radius) * 60))[..., np.newaxis]
    picture = (1 - inside) * (share * ends[0] + (1 - share) * ends[1]) + inside * np.array([0.95, 0.1, 0.1])
    return Image.fromarray((picture * 255).round().astype(np.uint8))


def draw_pictures(folder: Path, count: int) -> Path:
    """``count`` of them as PNG files in ``folder``, which is made."""
    folder.mkdir(parents=True)
    for seed in range(count):
        draw_picture(seed).save(folder / f"{seed:02}.png")
    return folder


def make_teacher(
    *, side: int = SIDE, maps: int = SIDE, gain: float = 2.0, ends_in_sigmoid: bool = True, frames_a_call: int = 1
) -> ModelProto:
    """The sigmoid of how much redder than green and blue a place is, ``gain`` times over."""
    weights = gain * np.array([2.0, -1.0, -1.0], np.float32).reshape(1, 3, 1, 1)
    stride = side // maps
    convolution = helper.make_node("Conv", ["input", "w", "b"], ["logits"], strides=[stride, stride])
    last = helper.make_node("Sigmoid" if ends_in_sigmoid else "Identity", ["logits"], ["saliency_map"])
    bias = np.array([-3.0], np.float32) if gain else np.zeros(1, np.float32)
    frames, given = (frames_a_call, 3, side, side), (frames_a_call, 1, maps, maps)
    return saliency_model(convolution, last, frames=frames, maps=given, w=weights, b=bias)


def feed(pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
    """``pictures`` ``[n, 3, H, W]`` as a model takes them."""
    mean, deviation = np.array([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]]).reshape(2, 3, 1, 1)
    return np.asarray((pictures / 255 - mean) / deviation, np.float32)


def see_red(pictures: NDArray[np.uint8]) -> NDArray[np.float64]:
    """The maps ``[n, H, W]`` that ``make_teacher``'s model gives for ``pictures`` ``[n, 3, H, W]``, computed apart."""
    values = feed(pictures).astype(np.float64)
    return np.asarray(1 / (1 + np.exp(-(2 * (2 * values[:, 0] - values[:, 1] - values[:, 2]) - 3))))
