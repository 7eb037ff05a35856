"""Whether a setting gives the numbers of the reference: the same model in float32 on ONNX Runtime's CPU provider."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from saliency_engine.figures import EIGHT_BITS, HALF, PARITY, Figures, Gate, compare
from saliency_engine.graph import Graph
from saliency_engine.stopwatch import Rows

_GATES = {"float32": PARITY, "float16": HALF, "bfloat16": EIGHT_BITS}
_FLOAT16 = 10  # TensorProto.DataType


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
    maps: Figures
    misses: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """JSON values; ``agrees`` sums up."""
        return {**asdict(self), "misses": list(self.misses), "agrees": not self.misses}


def gate(precision: str, graph: Graph) -> Gate:
    """What a setting must reach, by the shortest numbers that the model or the precision rounds to.

    The exporter's own gates, so that a library is not held to more than the variants it runs, nor to less: float32
    stays within 1e-4 in every pixel; half precision and eight bits keep the correlation and the mean.
    """
    if graph.operators & {"QuantizeLinear", "DequantizeLinear"}:
        return EIGHT_BITS
    if precision == "float32" and _FLOAT16 in graph.weight_types:
        return HALF
    return _GATES.get(precision, PARITY)


def agreement(
    reference: Rows, rows: Rows, reference_maps: NDArray[np.float32], maps: NDArray[np.float32], bounds: Gate
) -> Agreement:
    """Compare the rows that both have, at least one, and maps float32 ``[n, H, W]`` of the same frames.

    Rows are held to the bound that the gate sets for a map's mean, which no clip's mean can leave when its maps do not.
    Raises ``ModelError`` where the maps' shapes differ.
    """
    found = compare(reference_maps, maps)
    shared = [clip for clip in rows if clip in reference]
    deltas = np.abs(np.array([rows[clip] for clip in shared]) - np.array([reference[clip] for clip in shared]))
    largest, mean = deltas.max(axis=0), deltas.mean(axis=0)
    misses = bounds.misses(found)
    bound = bounds.max_abs if bounds.delta_mean is None else bounds.delta_mean
    if bound is not None and not largest[0] <= bound:
        misses.append(f"largest |Δmean| of a row {largest[0]:.5f} (must be ≤ {bound:g})")
    return Agreement(
        rows=len(shared),
        delta_mean_max=float(largest[0]),
        delta_mean_mean=float(mean[0]),
        delta_var_max=float(largest[1]),
        delta_var_mean=float(mean[1]),
        maps=found,
        misses=tuple(misses),
    )
