"""The formulas in plain numpy: slow, short, and what everything fast is tested against.

They are those of the feature-row contract of the VMAFx saliency materializer (docs/numbers.md). This module imports
nothing of the engine, and the engine nothing of it, so that a mistake in one shows beside the other.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def normalize(rgb: NDArray[np.float64]) -> NDArray[np.float32]:
    """R'G'B' in [0, 1] ``[n, 3, H, W]`` → ImageNet-normalised float32 of the same shape."""
    mean = np.array([0.485, 0.456, 0.406]).reshape(3, 1, 1)
    std = np.array([0.229, 0.224, 0.225]).reshape(3, 1, 1)
    return np.asarray((rgb - mean) / std, np.float32)


def mean(maps: NDArray[np.float64], motion: NDArray[np.float64], alpha: float) -> NDArray[np.float64]:  # noqa: ARG001
    """Σ s_t / n."""
    return np.asarray(maps.sum(axis=0) / len(maps))


def ema(maps: NDArray[np.float64], motion: NDArray[np.float64], alpha: float) -> NDArray[np.float64]:  # noqa: ARG001
    """m_0 = s_0, m_t = α s_t + (1 − α) m_(t−1)."""
    result = maps[0]
    for current in maps[1:]:
        result = alpha * current + (1.0 - alpha) * result
    return np.asarray(result)


def maximum(maps: NDArray[np.float64], motion: NDArray[np.float64], alpha: float) -> NDArray[np.float64]:  # noqa: ARG001
    """max s_t."""
    return np.asarray(maps.max(axis=0))


def motion_weighted(maps: NDArray[np.float64], motion: NDArray[np.float64], alpha: float) -> NDArray[np.float64]:  # noqa: ARG001
    """Σ w_t s_t / Σ w_t with w_0 = 1 and w_t = max(motion_t, 1e-6)."""
    w = [1.0] + [max(float(m), 1e-6) for m in motion[1:]]
    return np.asarray(sum(w_t * s_t for w_t, s_t in zip(w, maps, strict=True)) / sum(w))


def motion_balanced(maps: NDArray[np.float64], motion: NDArray[np.float64], alpha: float) -> NDArray[np.float64]:
    """``motion_weighted`` with w_0 = w_1, so that the first frame does not drown the others."""
    if len(maps) == 1:
        return motion_weighted(maps, motion, alpha)
    w = [max(float(m), 1e-6) for m in motion]
    w[0] = w[1]
    return np.asarray(sum(w_t * s_t for w_t, s_t in zip(w, maps, strict=True)) / sum(w))


AGGREGATORS = {
    "mean": mean,
    "ema": ema,
    "max": maximum,
    "motion-weighted": motion_weighted,
    "motion-balanced": motion_balanced,
}


def aggregate(
    maps: NDArray[np.float32], motion: NDArray[np.float64], aggregator: str, alpha: float
) -> tuple[NDArray[np.float64], float, float]:
    """(map ``[H, W]``, mean, population variance) of ``maps`` ``[K, H, W]``; the map is clipped to [0, 1]."""
    result = np.clip(AGGREGATORS[aggregator](maps.astype(np.float64), motion, alpha), 0.0, 1.0)
    return result, float(result.mean()), float(result.var())
