"""How far maps are from those they should be (a variant's from its parent's), and the gates they must pass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from saliency_engine.errors import ModelError

FLAT = 1e-4
"""A map whose standard deviation is below this says nothing that a correlation could keep."""


@dataclass(frozen=True)
class Figures:
    """Differences between two models' maps of the same frames.

    ``correlation`` is Pearson's, map by map, over the ``frames − flat`` frames whose parent map is not flat: mean and
    least. ``delta_mean`` and ``delta_var`` are the largest |Δ| of a map's mean and variance, ``mae`` the mean
    absolute and ``max_abs`` the largest difference of two pixels.
    """

    frames: int
    flat: int
    correlation: float
    least_correlation: float
    delta_mean: float
    delta_var: float
    mae: float
    max_abs: float


@dataclass(frozen=True)
class Gate:
    """What figures must reach to go out; ``None`` asks nothing of that figure."""

    correlation: float | None = None
    delta_mean: float | None = None
    max_abs: float | None = None

    def misses(self, figures: Figures) -> list[str]:
        """What is missed, in words; empty when the gate is passed. A NaN misses."""
        missed = []
        if self.correlation is not None and figures.flat == figures.frames:
            missed.append("every map of the parent is flat: there is nothing to correlate")
        elif self.correlation is not None and not figures.correlation >= self.correlation:
            missed.append(f"mean correlation {figures.correlation:.5f} (must be ≥ {self.correlation})")
        if self.delta_mean is not None and not figures.delta_mean <= self.delta_mean:
            missed.append(f"largest |Δmean| {figures.delta_mean:.5f} (must be ≤ {self.delta_mean})")
        if self.max_abs is not None and not figures.max_abs <= self.max_abs:
            missed.append(f"largest difference {figures.max_abs:.2e} (must be ≤ {self.max_abs:.0e})")
        return missed

    def as_json(self) -> dict[str, Any]:
        """The bounds that are asked for."""
        asked = {"correlation": self.correlation, "delta_mean": self.delta_mean, "max_abs": self.max_abs}
        return {name: bound for name, bound in asked.items() if bound is not None}


PARITY = Gate(max_abs=1e-4)
"""The same float32 graph elsewhere: in another library, in another shape. Rows of both bear one id."""
HALF = Gate(correlation=0.9999, delta_mean=0.001)
"""Half precision, 11 significant bits. Rows bear an id of their own."""
EIGHT_BITS = Gate(correlation=0.998, delta_mean=0.02)
"""int8 and bfloat16, 8 significant bits. Rows bear an id of their own."""


def compare(parent: NDArray[np.float32], variant: NDArray[np.float32]) -> Figures:
    """Measure a variant's maps, float32 ``[n, H, W]``, against its parent's.

    Raises ``ModelError`` where their shapes differ.
    """
    if parent.shape != variant.shape:
        raise ModelError(f"the maps to compare are {list(variant.shape)}, their parent's {list(parent.shape)}")
    a, b = (maps.reshape(len(maps), -1).astype(np.float64) for maps in (parent, variant))
    difference = np.abs(a - b)
    shaped = ~(a.std(axis=1) < FLAT)  # a NaN is not flat: it must spoil the figures
    correlations = [_pearson(x, y) for x, y in zip(a[shaped], b[shaped], strict=True)] or [0.0]
    return Figures(
        frames=len(a),
        flat=int(len(a) - shaped.sum()),
        correlation=float(np.mean(correlations)),
        least_correlation=float(np.min(correlations)),
        delta_mean=float(np.abs(a.mean(axis=1) - b.mean(axis=1)).max()),
        delta_var=float(np.abs(a.var(axis=1) - b.var(axis=1)).max()),
        mae=float(difference.mean()),
        max_abs=float(difference.max()),
    )


def _pearson(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    """Correlation of two maps; 0 where the second is flat and so has lost everything."""
    x, y = x - x.mean(), y - y.mean()
    scale = float(np.sqrt((x @ x) * (y @ y)))
    return float(x @ y) / scale if scale != 0.0 else 0.0
