"""Kernels and the way from a frame to a tensor, beside plain numpy and PyAV."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import av
import numpy as np
import pytest
from av.video.reformatter import Colorspace, Interpolation
from harness.inputs import real_clips
from numpy.typing import NDArray

from saliency_engine.numerics import reference
from saliency_engine.numerics.aggregate import measure, summarize
from saliency_engine.numerics.normalize import normalize
from saliency_engine.video import color
from saliency_engine.video.picture import Picture, Scaler

MAPS = np.random.default_rng(0).random((8, 320, 320), dtype=np.float32)
MOTION = np.array([0.0, *np.random.default_rng(1).random(7) / 10])


@pytest.mark.parametrize("aggregator", ["mean", "ema", "max", "motion-weighted"])
@pytest.mark.parametrize("way", ["engine", "numpy"])
def test_aggregation(benchmark: Any, way: str, aggregator: str) -> None:
    """Eight maps of 320x320 to mean and variance. The engine's measurement gives those of every aggregator."""
    ways: dict[str, Callable[[], tuple[float, float]]] = {
        "engine": lambda: summarize(measure(MAPS, MOTION), aggregator, 0.6),
        "numpy": lambda: reference.aggregate(MAPS, MOTION, aggregator, 0.6)[1:],
    }
    np.testing.assert_allclose(ways["engine"](), ways["numpy"](), rtol=0, atol=1e-9)
    benchmark.group = f"eight maps to mean and variance, {aggregator}"
    benchmark(ways[way])


@pytest.mark.parametrize("size", [(960, 540), (1920, 1080)], ids=["960x540", "1920x1080"])
@pytest.mark.parametrize("way", ["engine", "PyAV to RGB, numpy"])
def test_preprocessing(benchmark: Any, way: str, size: tuple[int, int]) -> None:
    """A decoded frame to the model's normalised tensor: 16 bits of R'G'B' here, 8 bits there."""
    frame = _read_frame(*size)
    scaler, rgb, tensor = Scaler(), np.empty((3, 320, 320), np.uint16), np.empty((3, 320, 320), np.float32)

    def engine() -> NDArray[np.float32]:
        Picture.of(frame, "auto").paint(scaler, rgb)
        normalize(rgb[None], tensor[None])
        return tensor

    def plain() -> NDArray[np.float32]:
        small = frame.reformat(
            320, 320, "rgb24", interpolation=Interpolation.BILINEAR, src_colorspace=Colorspace.ITU709, threads=1
        )
        levels = np.asarray(small.to_ndarray(), np.float64)
        return np.asarray(reference.normalize(levels.transpose(2, 0, 1)[None] / 255.0)[0])

    ways = {"engine": engine, "PyAV to RGB, numpy": plain}
    apart = np.abs(engine() - plain()) * 0.225 * 255
    assert apart.mean() < 3, "more than three of 255 levels apart on average; libswscale's own matrix is two levels off"
    benchmark.group = f"frame of {size[0]}x{size[1]} to tensor"
    benchmark(ways[way])


@pytest.mark.parametrize("way", ["engine", "numpy"])
def test_motion(benchmark: Any, way: str) -> None:
    """Sum of absolute differences of two luma planes of 1920x1080."""
    left, right = np.random.default_rng(0).integers(0, 256, (2, 1080, 1920), np.uint8)
    ways: dict[str, Callable[[], int]] = {
        "engine": lambda: color.absolute_difference(left, right, 1920),
        "numpy": lambda: int(np.abs(left.astype(np.int16) - right).sum()),
    }
    assert ways["engine"]() == ways["numpy"]()
    benchmark.group = "motion between two frames of 1920x1080"
    benchmark(ways[way])


def _read_frame(width: int, height: int) -> av.VideoFrame:
    with av.open(str(real_clips()[0])) as container:
        return next(container.decode(video=0)).reformat(width, height, "yuv420p", threads=1)
