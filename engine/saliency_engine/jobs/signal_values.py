"""A column of a run's numbers, taken for what statistics and charts can be made of."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from saliency_engine.errors import ConfigError, InputError
from saliency_engine.tables.whole import Whole

_MOST = 1e100
"""The squares and sums of larger numbers overflow, and histograms have no bins for them."""
_ROUNDING = 1e-6


def read_signal(table: Whole, name: str, *, is_share: bool = False) -> NDArray[np.float64]:
    """``[rows]``: the column ``name``; NaN where a row has no finite number.

    Raises ``InputError`` with the row, counted from 1, where a number is so large that nothing can be computed from it,
    or with ``is_share`` is not in [0, 1].
    """
    values = table.numbers(name)
    low, high = (-_ROUNDING, 1 + _ROUNDING) if is_share else (-_MOST, _MOST)
    wrong = np.flatnonzero(np.isfinite(values) & ((values < low) | (values > high)))
    if len(wrong):
        kind = "from 0 to 1" if is_share else "of at most 1e100"
        raise InputError(
            f"{table.name}: column {name!r} holds {values[wrong[0]]:g} in row {wrong[0] + 1}, where numbers {kind} "
            f"belong ({len(wrong)} such rows): correct them, or leave them empty"
        )
    return values


def check_clips(clips: int) -> None:
    """Raises ``ConfigError`` where ``clips`` is no number of clips to draw."""
    if clips < 0:
        raise ConfigError(f"--clips is {clips}: give how many clips are drawn, or 0 for none")
