"""What is odd about prepared features: constants, gaps, numbers out of range, clips that are alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from saliency_engine.jobs.mos_prep.settings import FEATURES

Columns = Mapping[str, NDArray[np.float64]]
_RANGES = {
    "saliency_mean": (0.0, 1.0),
    "saliency_var": (0.0, 0.25),  # of numbers in [0, 1]
    "adm2": (0.0, 2.0),  # above 1 where the clip is sharper than its reference
    **{f"vif_scale{scale}": (0.0, 2.0) for scale in range(4)},
    "motion2": (0.0, 255.0),
    "shot_count_norm": (0.0, 2.0),
    "shot_mean_len_norm": (0.0, np.inf),
    "shot_cut_density": (0.0, 1.0),
}
_LEAST_DEVIATION, _LEAST_COVERAGE = 1e-12, 0.8
"""What a column needs to count as a signal, by the rules of VMAFx's audit."""
_COPY = 0.99
"""Raters themselves agree less with each other: no feature that was measured goes so closely with their mean."""


@dataclass(frozen=True)
class Filled:
    """The features of a MOS head, all finite."""

    numbers: dict[str, NDArray[np.float64]]
    """``FEATURES`` in their order, each ``[n]``."""
    stand_ins: dict[str, int]
    """Features of which the column ``…_mean`` stands in, and for how many clips."""
    zeros: dict[str, int]
    """Features that are 0.0 because nothing is known, and for how many clips."""


def fill_features(columns: Columns, clips: int) -> Filled:
    """The features that a trainer reads. ``…_mean`` stands in for one that is missing, and 0.0 for both.

    That is what the trainer of VMAFx itself does without a word.
    """
    filled, stand_ins, zeros = {}, {}, {}
    for name in FEATURES:
        values = columns.get(name, np.full(clips, np.nan)).copy()
        other = columns.get(f"{name}_mean")
        if other is not None and (usable := np.isnan(values) & np.isfinite(other)).any():
            values[usable] = other[usable]
            stand_ins[name] = int(usable.sum())
        if (missing := np.isnan(values)).any():
            values[missing] = 0.0
            zeros[name] = int(missing.sum())
        filled[name] = values
    return Filled(filled, stand_ins, zeros)


def statistics_of(columns: Columns, train: NDArray[np.bool_]) -> dict[str, dict[str, Any]]:
    """Mean, standard deviation (ddof 0), lowest and highest number of each column over the rows ``train``."""
    described = {}
    for name, values in columns.items():
        known = values[train & np.isfinite(values)]
        if len(known):
            described[name] = {
                "mean": float(known.mean()),
                "std": float(known.std()),
                "min": float(known.min()),
                "max": float(known.max()),
                "count": len(known),
            }
    return described


def find_oddities(columns: Columns, train: NDArray[np.bool_]) -> dict[str, Any]:
    """The columns that are no signals, and those with numbers that cannot be."""
    constant = [name for name, values in columns.items() if _deviation(values[train]) <= _LEAST_DEVIATION]
    covered = {name: float(np.isfinite(values).mean()) for name, values in columns.items() if len(values)}
    outside = {}
    for name, (low, high) in _RANGES.items():
        if name in columns:
            count = int(((columns[name] < low) | (columns[name] > high)).sum())
            if count:
                outside[name] = {"clips": count, "low": low, "high": high if np.isfinite(high) else None}
    return {
        "constant": constant,
        "sparse": {name: share for name, share in covered.items() if share < _LEAST_COVERAGE},
        "out_of_range": outside,
    }


def find_label_copies(columns: Columns, mos: NDArray[np.float64]) -> dict[str, float]:
    """The columns that go with the scores so closely that they must come from them, with Pearson's correlation."""
    copies = {}
    for name, values in columns.items():
        known = np.isfinite(values)
        if known.sum() > 2 and _deviation(values) > _LEAST_DEVIATION and _deviation(mos[known]) > _LEAST_DEVIATION:
            correlation = float(np.corrcoef(values[known], mos[known])[0, 1])
            if abs(correlation) > _COPY:
                copies[name] = correlation
    return copies


def _deviation(values: NDArray[np.float64]) -> float:
    known = values[np.isfinite(values)]
    return float(known.std()) if len(known) else 0.0


def find_alike(
    columns: Columns, keys: NDArray[np.object_], splits: NDArray[np.object_], without: list[str]
) -> dict[str, Any]:
    """Clips of different keys whose numbers are all the same, and how many of them are in several splits.

    Columns ``without`` a signal are left out; with none left, nothing is alike.
    """
    used = [values for name, values in columns.items() if name not in without]
    alike: dict[bytes, list[int]] = {}
    if used:
        for row, numbers in enumerate(np.column_stack(used)):
            alike.setdefault(numbers.tobytes(), []).append(row)
    groups = [rows for rows in alike.values() if len(set(keys[rows])) > 1]
    leaking = [rows for rows in groups if len(set(splits[rows])) > 1]
    return {
        "duplicates": sum(len(rows) - 1 for rows in groups),
        "leaking_duplicates": sum(len(rows) for rows in leaking),
        "examples": [[str(key) for key in keys[rows][:3]] for rows in (leaking or groups)[:3]],
    }
