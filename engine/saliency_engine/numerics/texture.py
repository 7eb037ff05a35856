"""What the luma of a frame says of its light and its detail, exact: sums of whole numbers, divided once.

All are in code values scaled to 8 bits, whatever the depth, or to [0, 1] where 255 is 1: so a clip in 8 bits and the
same in 10 have the same numbers.

``texture_of`` gives what ``_frame_visual_signals`` of VMAFx's ``ai/scripts/chug_extract_features.py`` defines. Its
noise measure is the median absolute deviation of a Laplacian, times 1.4826, which is the standard deviation where that
is Gaussian (Rousseeuw and Croux 1993).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from saliency_engine.numerics.kernels import kernel

Plane = NDArray[Any]
"""Uint8 or uint16 ``[rows, line]``, C-contiguous; a line may be longer than the picture is wide."""
_GAUSSIAN = 1.4826


@kernel
def _sum(plane: Plane, width: int) -> tuple[np.int64, np.int64]:
    total, squares = np.int64(0), np.int64(0)
    for row in range(plane.shape[0]):
        for col in range(width):
            value = np.int64(plane[row, col])
            total += value
            squares += value * value
    return total, squares


@kernel
def _differences(plane: Plane, width: int) -> tuple[np.int64, np.int64]:
    """Sums of |differences| between neighbours in a row, and in a column."""
    across, down = np.int64(0), np.int64(0)
    for row in range(plane.shape[0]):
        for col in range(width - 1):
            across += abs(np.int64(plane[row, col + 1]) - np.int64(plane[row, col]))
    for row in range(plane.shape[0] - 1):
        for col in range(width):
            down += abs(np.int64(plane[row + 1, col]) - np.int64(plane[row, col]))
    return across, down


@kernel
def _count_laplacians(plane: Plane, width: int, counts: NDArray[np.int64]) -> None:
    """Count the values of up + down + left + right − 4 · centre; zero is in the middle of ``counts``."""
    middle = counts.shape[0] // 2
    for row in range(1, plane.shape[0] - 1):
        for col in range(1, width - 1):
            around = np.int64(plane[row - 1, col]) + np.int64(plane[row + 1, col])
            around += np.int64(plane[row, col - 1]) + np.int64(plane[row, col + 1])
            counts[middle + around - 4 * np.int64(plane[row, col])] += 1


def luma_of(plane: Plane, width: int, depth: int) -> tuple[float, float]:
    """Mean and population variance of the first ``width`` samples of every line, of ``depth`` bits, scaled to 8."""
    total, squares = map(int, _sum(plane, width))
    samples, scale = plane.shape[0] * width, 1 << depth - 8
    # In Python's integers: n·Σv² has more than 64 bits where 8K frames have 16.
    return total / samples / scale, (samples * squares - total * total) / (samples * scale) ** 2


def texture_of(plane: Plane, width: int, depth: int) -> tuple[float, float, float, float]:
    """Standard deviation, variance of the Laplacian, mean difference of neighbours, and noise, all of luma in [0, 1].

    The last three are 0 where the picture is less than 3 samples wide or high.
    """
    height, white = plane.shape[0], 255 << depth - 8
    deviation = luma_of(plane, width, depth)[1] ** 0.5 / 255
    if width < 3 or height < 3:
        return deviation, 0.0, 0.0, 0.0
    across, down = map(int, _differences(plane, width))
    counts = np.zeros((8 << depth) + 1, np.int64)
    _count_laplacians(plane, width, counts)
    (places,) = np.nonzero(counts)
    values, counts = places - (4 << depth), counts[places]
    differences = (across / (height * (width - 1)) + down / ((height - 1) * width)) / 2
    middle = _median(values, counts)
    noise = _GAUSSIAN * _median(np.abs(values - middle), counts)
    return deviation, _variance(values, counts) / white**2, differences / white, noise / white


def _variance(values: NDArray[np.int64], counts: NDArray[np.int64]) -> float:
    samples, total = int(counts.sum()), int(counts @ values)
    squares = int(counts @ (values * values))
    return (samples * squares - total * total) / samples**2


def _median(values: NDArray[Any], counts: NDArray[np.int64]) -> float:
    """The median of ``values`` that occur ``counts`` times: of an even number the mean of the middle two."""
    order = np.argsort(values)
    reached = np.cumsum(counts[order])
    samples = int(reached[-1])
    middle = np.array([(samples - 1) // 2, samples // 2])
    low, high = values[order[np.searchsorted(reached, middle, "right")]]
    return float(low + high) / 2
