"""Whether a setting gives the numbers of the reference: the same model in float32 on ONNX Runtime's CPU provider."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from saliency_engine.jobs.bench.stopwatch import Rows
from saliency_engine.numerics.fidelity import EIGHT_BITS, HALF, Fidelity, Gate, compare


@dataclass(frozen=True)
class Agreement:
    """How far rows and maps are from the reference's.

    ``rows``: how many were compared; ``delta_…``: largest and mean |Δ| of their means and variances; ``maps``: the
    figures of the maps; ``misses``: what the gate asks for and these miss, in words.
    """

    rows: int
    delta_mean_max: float
    delta_mean_mean: float
    delta_var_max: float
    delta_var_mean: float
    maps: Fidelity
    misses: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """JSON values; ``agrees`` sums up."""
        return {**asdict(self), "misses": list(self.misses), "agrees": not self.misses}


def gate(precision: str, operators: Collection[str]) -> Gate:
    """What a setting must reach: the exporter's gates, so that a library is held to what variants of a model are.

    Wherever numbers have eight bits, by the precision or by the graph's own operators, the gate of int8; elsewhere
    that of half precision, for float32 too: a library may add in any order, and where a graph stretches its map to
    [0, 1], as the built-in model does, OpenVINO's float32 is 3e-4 off in a pixel and 7e-5 in a row's mean.
    """
    return EIGHT_BITS if precision == "bfloat16" or "QuantizeLinear" in operators else HALF


def agreement(
    reference: Rows, rows: Rows, reference_maps: NDArray[np.float32], maps: NDArray[np.float32], bounds: Gate
) -> Agreement:
    """Compare the rows that both have, at least one, and maps float32 ``[n, H, W]`` of the same frames.

    Rows are held to the bound that the gate sets for a map's mean, which a clip's mean keeps when its maps do.
    Raises ``ModelError`` where the maps' shapes differ.
    """
    found = compare(reference_maps, maps)
    shared = [clip for clip in rows if clip in reference]
    deltas = np.abs(np.array([rows[clip] for clip in shared]) - np.array([reference[clip] for clip in shared]))
    largest, mean = deltas.max(axis=0), deltas.mean(axis=0)
    misses = bounds.misses(found)
    if bounds.delta_mean is not None and not largest[0] <= bounds.delta_mean:
        misses.append(f"largest |Δmean| of a row {largest[0]:.5f} (must be ≤ {bounds.delta_mean})")
    return Agreement(
        rows=len(shared),
        delta_mean_max=float(largest[0]),
        delta_mean_mean=float(mean[0]),
        delta_var_max=float(largest[1]),
        delta_var_mean=float(mean[1]),
        maps=found,
        misses=tuple(misses),
    )
