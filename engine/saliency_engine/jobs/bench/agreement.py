"""Whether a setting gives the reference's numbers: those of the model in float32 on ONNX Runtime's CPU provider."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from saliency_engine.jobs.bench.stopwatch import Rows
from saliency_engine.numerics.fidelity import EIGHT_BITS, FLOAT32_ON_CARD, HALF, Fidelity, Gate, compare


@dataclass(frozen=True)
class Agreement:
    """How far the rows and maps of a setting are from the reference's."""

    rows: int
    """How many rows were compared."""
    delta_mean_max: float
    """Largest |Δ| of a row's mean."""
    delta_mean_mean: float
    """Mean |Δ| of the rows' means."""
    delta_var_max: float
    delta_var_mean: float
    maps: Fidelity
    misses: tuple[str, ...]
    """Which bounds of the gate are missed, in words; empty where the setting agrees."""

    def as_json(self) -> dict[str, Any]:
        """JSON values; ``agrees`` says whether no bound is missed."""
        return {**asdict(self), "misses": list(self.misses), "agrees": not self.misses}


def gate(precision: str, operators: Collection[str], *, float32_on_card: bool = False) -> Gate:
    """What a setting must reach. The gates are the exporter's: a library is held to the same as a variant of a model.

    Where the precision or the graph's own operators leave numbers eight bits, it is the gate of int8. Elsewhere it is
    that of half precision, for float32 too: a library may add in any order, and where a graph stretches its map to
    [0, 1], as frequency_tuned_v1 does, OpenVINO's float32 is 3e-4 off in a pixel and 7e-5 in a row's mean.
    ``float32_on_card``: a model whose weights are float32, on a graphics card; TF32 must not pass for float32 there.
    """
    if precision == "bfloat16" or "QuantizeLinear" in operators:
        return EIGHT_BITS
    return FLOAT32_ON_CARD if float32_on_card else HALF


def agreement(
    reference: Rows, rows: Rows, reference_maps: NDArray[np.float32], maps: NDArray[np.float32], bounds: Gate
) -> Agreement:
    """Compare a setting's rows and maps with the reference's, by the gate ``bounds``.

    Compared are the rows of the clips that both have, which must be at least one. The maps, float32 ``[n, H, W]``, are
    those of the same frames. Rows are held to the bound that the gate sets for a map's mean: a clip's mean keeps it
    when its maps do. Raises ``ModelError`` where the maps' shapes differ.
    """
    fidelity = compare(reference_maps, maps)
    shared = [clip for clip in rows if clip in reference]
    deltas = np.abs(np.array([rows[clip] for clip in shared]) - np.array([reference[clip] for clip in shared]))
    largest, mean = deltas.max(axis=0), deltas.mean(axis=0)
    misses = bounds.misses(fidelity)
    if bounds.delta_mean is not None and not largest[0] <= bounds.delta_mean:
        misses.append(f"largest |Δmean| of a row {largest[0]:.5f} (must be ≤ {bounds.delta_mean})")
    return Agreement(
        rows=len(shared),
        delta_mean_max=float(largest[0]),
        delta_mean_mean=float(mean[0]),
        delta_var_max=float(largest[1]),
        delta_var_mean=float(mean[1]),
        maps=fidelity,
        misses=tuple(misses),
    )
