"""Maps of one clip over time → one map, its mean and variance.

Every aggregator but ``max`` is a weighted sum of the K maps, M = Σ c_t s_t with Σ c_t = 1, so with the frame means
μ_t and the Gram matrix G_ij = mean(s_i · s_j)::

    mean(M) = Σ c_t μ_t          var(M) = Σ c_i c_j G_ij − mean(M)²

``measure`` takes these numbers in one pass over the maps; ``summarize`` turns them into any aggregator's mean and
variance without the maps. ``combine`` makes the map itself, where it is to be seen. The formulas of the aggregators
are in ``reference.py`` in plain numpy.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from saliency_engine.errors import InferenceError
from saliency_engine.numerics.kernels import kernel
from saliency_engine.types import ClipStatistics

MINIMUM_MOTION = 1e-6
# A sigmoid written in half precision or int8 may end a rounding step outside [0, 1]; more is not a saliency map.
_TOLERANCE = 1e-3
# 8 maps × 2048 pixels × 8 bytes = 128 KiB of scratch, which stays in the second-level cache.
_BLOCK = 2048


@kernel
def _measure(
    maps: NDArray[np.float32], means: NDArray[np.float64], gram: NDArray[np.float64], scratch: NDArray[np.float64]
) -> tuple[float, float, float, float]:
    frames, pixels = maps.shape
    block = scratch.shape[1] if scratch.shape[1] < pixels else pixels
    low, high, total, squares = np.inf, -np.inf, 0.0, 0.0
    for start in range(0, pixels, block):
        size = min(block, pixels - start)
        for t in range(frames):
            partial = 0.0
            for p in range(size):
                value = maps[t, start + p]
                low = min(low, value)
                high = max(high, value)
                clipped = np.float64(min(max(value, np.float32(0.0)), np.float32(1.0)))
                scratch[t, p] = clipped
                # value − value is NaN for NaN and infinity, which clipping would hide, and 0 for all others
                partial += clipped + np.float64(value - value)
            means[t] += partial
        for i in range(frames):
            for j in range(i + 1):
                dot = 0.0
                for p in range(size):
                    dot += scratch[i, p] * scratch[j, p]
                gram[i, j] += dot
        for p in range(size):
            peak = scratch[0, p]
            for t in range(1, frames):
                peak = max(peak, scratch[t, p])
            total += peak
            squares += peak * peak
    for i in range(frames):
        means[i] /= pixels
        for j in range(i + 1):
            gram[i, j] /= pixels
            gram[j, i] = gram[i, j]
    mean = total / pixels
    return low, high, mean, max(squares / pixels - mean * mean, 0.0)


@kernel
def _weighted_sum(maps: NDArray[np.float32], weights: NDArray[np.float64], out: NDArray[np.float32]) -> None:
    frames, pixels = maps.shape
    for p in range(pixels):
        value = 0.0
        for t in range(frames):
            value += weights[t] * min(max(maps[t, p], np.float32(0.0)), np.float32(1.0))
        out[p] = min(max(value, 0.0), 1.0)


@kernel
def _maximum(maps: NDArray[np.float32], out: NDArray[np.float32]) -> None:
    frames, pixels = maps.shape
    for p in range(pixels):
        value = maps[0, p]
        for t in range(1, frames):
            value = max(value, maps[t, p])
        out[p] = min(max(value, np.float32(0.0)), np.float32(1.0))


def measure(maps: NDArray[np.float32], motion: NDArray[np.float64]) -> ClipStatistics:
    """Statistics of one clip's maps, float32 ``[K, H, W]`` C-contiguous, values in [0, 1].

    Raises ``InferenceError`` when a value is not finite or lies outside [0, 1] by more than 1e-3; smaller
    overshoots are clipped.
    """
    frames = len(maps)
    flat = maps.reshape(frames, -1)
    means, gram = np.zeros(frames), np.zeros((frames, frames))
    low, high, mean, var = _measure(flat, means, gram, np.empty((frames, _BLOCK)))
    if not np.isfinite(means).all():
        raise InferenceError("the model gave a map with NaN or infinite values")
    if low < -_TOLERANCE or high > 1.0 + _TOLERANCE:
        raise InferenceError(f"the model's map spans [{low:.6g}, {high:.6g}], outside [0, 1]; is its sigmoid missing?")
    return ClipStatistics(means, np.asarray(motion, np.float64), gram, (mean, var))


def weights(aggregator: str, alpha: float, motion: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weights c ``[K]`` of a linear aggregator, summing to 1; ``motion`` ``[K]`` as in ``DecodedClip``."""
    frames = len(motion)
    if aggregator == "mean":
        return np.full(frames, 1.0 / frames)
    if aggregator == "ema":
        decay = (1.0 - alpha) ** np.arange(frames - 1, -1, -1, dtype=np.float64)
        return decay * np.where(np.arange(frames) == 0, 1.0, alpha)
    if aggregator in {"motion-weighted", "motion-balanced"}:
        raw = np.maximum(motion, MINIMUM_MOTION)
        raw[0] = raw[1] if aggregator == "motion-balanced" and frames > 1 else 1.0
        return np.asarray(raw / raw.sum())
    raise ValueError(f"{aggregator!r} is not a linear aggregator")


def summarize(statistics: ClipStatistics, aggregator: str, alpha: float) -> tuple[float, float]:
    """(mean, population variance) of the aggregated map, from the statistics alone. ``alpha`` is in (0, 1]."""
    if aggregator == "max":
        return statistics.maximum
    c = weights(aggregator, alpha, statistics.motion)
    mean = float(c @ statistics.means)
    # Rounding can leave a constant map a hair below zero.
    var = max(float(c @ statistics.gram @ c) - mean * mean, 0.0)
    return mean, var


def combine(
    maps: NDArray[np.float32], motion: NDArray[np.float64], aggregator: str, alpha: float, out: NDArray[np.float32]
) -> None:
    """Write the aggregated map of ``maps`` float32 ``[K, H, W]`` into ``out`` float32 ``[H, W]``, in [0, 1]."""
    flat, target = maps.reshape(len(maps), -1), out.reshape(-1)
    if aggregator == "max":
        _maximum(flat, target)
    else:
        _weighted_sum(flat, weights(aggregator, alpha, motion), target)
