"""How far a variant's maps are from its parent's, and the gates that decide whether that is near enough."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from saliency_engine.errors import ModelError

FLAT = 1e-4
"""A map whose standard deviation is below this is flat: its correlation with another map has no meaning."""


@dataclass(frozen=True)
class Fidelity:
    """How near a variant's maps are to its parent's maps of the same frames."""

    frames: int
    flat: int
    """How many of the parent's maps are flat; they take no part in the correlations."""
    correlation: float
    """Mean over the maps of Pearson's correlation."""
    least_correlation: float
    delta_mean: float
    """Largest |Δ| of a map's mean."""
    delta_var: float
    """Largest |Δ| of a map's variance."""
    mae: float
    """Mean absolute difference of two pixels."""
    max_abs: float
    """Largest difference of two pixels."""


@dataclass(frozen=True)
class Gate:
    """The bounds that a variant must keep to be published; ``None`` sets no bound."""

    correlation: float | None = None
    """The least mean correlation."""
    delta_mean: float | None = None
    max_abs: float | None = None

    def misses(self, fidelity: Fidelity) -> list[str]:
        """Which bounds are missed, in words; empty when the gate is passed. NaN misses every bound."""
        missed = []
        if self.correlation is not None and fidelity.flat == fidelity.frames:
            missed.append("every map of the parent is flat: there is nothing to correlate")
        elif self.correlation is not None and not fidelity.correlation >= self.correlation:
            missed.append(f"mean correlation {fidelity.correlation:.5f} (must be ≥ {self.correlation})")
        if self.delta_mean is not None and not fidelity.delta_mean <= self.delta_mean:
            missed.append(f"largest |Δmean| {fidelity.delta_mean:.5f} (must be ≤ {self.delta_mean})")
        if self.max_abs is not None and not fidelity.max_abs <= self.max_abs:
            missed.append(f"largest difference {fidelity.max_abs:.2e} (must be ≤ {self.max_abs:.0e})")
        return missed

    def as_json(self) -> dict[str, Any]:
        """The bounds that are set."""
        bounds = {"correlation": self.correlation, "delta_mean": self.delta_mean, "max_abs": self.max_abs}
        return {name: bound for name, bound in bounds.items() if bound is not None}


PARITY = Gate(max_abs=1e-4)
"""For the same float32 graph in another library or shape. Its rows keep the parent's model id."""
HALF = Gate(correlation=0.9999, delta_mean=0.001)
"""For half precision, 11 significant bits. Its rows have a model id of their own."""
FLOAT32_ON_CARD = Gate(correlation=0.9999, delta_mean=0.001, max_abs=1e-4)
"""For a float32 model on a graphics card. TF32, which cards may take instead, has 11 significant bits, too, and would
pass the gate of half precision."""
EIGHT_BITS = Gate(correlation=0.998, delta_mean=0.02)
"""For int8 and bfloat16, 8 significant bits. Their rows have a model id of their own."""


def compare(parent: NDArray[np.float32], variant: NDArray[np.float32]) -> Fidelity:
    """Measure a variant's maps, float32 ``[n, H, W]``, against its parent's.

    Raises ``ModelError`` where their shapes differ.
    """
    if parent.shape != variant.shape:
        raise ModelError(f"the variant's maps have the shape {list(variant.shape)}, the parent's {list(parent.shape)}")
    a, b = (maps.reshape(len(maps), -1).astype(np.float64) for maps in (parent, variant))
    difference = np.abs(a - b)
    correlations = correlate_maps(parent, variant)
    measured = correlations if len(correlations) else np.zeros(1)
    return Fidelity(
        frames=len(a),
        flat=len(a) - len(correlations),
        correlation=float(np.mean(measured)),
        least_correlation=float(np.min(measured)),
        delta_mean=float(np.abs(a.mean(axis=1) - b.mean(axis=1)).max()),
        delta_var=float(np.abs(a.var(axis=1) - b.var(axis=1)).max()),
        mae=float(difference.mean()),
        max_abs=float(difference.max()),
    )


def merge(parts: Sequence[Fidelity]) -> Fidelity:
    """How near all the maps are of which each of ``parts``, at least one, has measured some."""
    frames = [part.frames for part in parts]
    measured = [part.frames - part.flat for part in parts]
    correlations = [part.correlation * count for part, count in zip(parts, measured, strict=True)]
    least = [part.least_correlation for part, count in zip(parts, measured, strict=True) if count]
    return Fidelity(
        frames=sum(frames),
        flat=sum(part.flat for part in parts),
        correlation=sum(correlations) / max(sum(measured), 1),
        least_correlation=min(least, default=0.0),
        delta_mean=max(part.delta_mean for part in parts),
        delta_var=max(part.delta_var for part in parts),
        mae=sum(part.mae * count for part, count in zip(parts, frames, strict=True)) / sum(frames),
        max_abs=max(part.max_abs for part in parts),
    )


def correlate_maps(parent: NDArray[np.float32], variant: NDArray[np.float32]) -> NDArray[np.float64]:
    """Pearson's correlation of each map of ``parent`` that is not flat with the variant's: ``[m]``, m ≤ n."""
    pairs = (tuple(maps.astype(np.float64).ravel() for maps in pair) for pair in zip(parent, variant, strict=True))
    # A NaN is not flat: it must spoil the comparison.
    return np.array([_pearson(x, y) for x, y in pairs if not x.std() < FLAT], np.float64)


def _pearson(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    """Correlation of two maps; 0 where the second is flat, for then nothing of the first is left."""
    x, y = x - x.mean(), y - y.mean()
    scale = float(np.sqrt((x @ x) * (y @ y)))
    return float(x @ y) / scale if scale != 0.0 else 0.0
