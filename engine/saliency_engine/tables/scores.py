"""A column of scores, in which text and infinities are no missing values."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from saliency_engine.tables.whole import Whole

_NOTHING = frozenset(("", "na", "n/a", "nan", "none", "null", "-"))
"""What people write for a missing score."""
_WITH_COMMA = re.compile(r"[+-]?\d+,\d+")


@dataclass(frozen=True)
class Scores:
    """What a column says, ``[rows]``."""

    numbers: NDArray[np.float64]
    """Finite, or NaN."""
    strange: NDArray[np.bool_]
    """Where there is something that is no finite number: text, an infinity, a number that is too large."""
    first_strange: str
    """The first of these and its row, for people; empty where there is none."""


def read_scores(table: Whole, column: str) -> Scores:
    """The scores in ``column``. Raises ``InputError`` where there is no such column."""
    numbers, texts = table.numbers(column), table.texts(column)
    finite = np.isfinite(numbers)
    strange = ~finite & np.array([(text or "").strip().lower() not in _NOTHING for text in texts], bool)
    first = ""
    if strange.any():
        row = int(np.flatnonzero(strange)[0])
        first = f"{texts[row]!r} in row {row + 1}{_explain(texts[row].strip(), float(numbers[row]))}"
    return Scores(np.where(finite, numbers, np.nan), strange, first)


def _explain(text: str, number: float) -> str:
    if _WITH_COMMA.fullmatch(text):
        return f", with a decimal comma: write {text.replace(',', '.')}"
    return ", which is infinite or too large" if np.isinf(number) else ""
