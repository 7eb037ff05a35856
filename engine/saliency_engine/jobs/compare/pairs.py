"""How far two sides agree: on which clips, in what became of them, and in their numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from saliency_engine.jobs.compare.sides import Numbers, Side
from saliency_engine.numerics.correlation import plcc, srocc

_MOST_TO_CROSS = 6


@dataclass(frozen=True)
class Agreement:
    """One signal of two sides on the clips for which both have it."""

    signal: str
    clips: int
    plcc: float
    """Pearson's correlation. NaN where it has no meaning; so is ``srocc``, Spearman's."""
    srocc: float
    delta_mean: float
    """Mean of second minus first; NaN without clips, as the next two."""
    delta_abs_mean: float
    delta_abs_p95: float
    """19 of 20 clips differ by less."""
    delta_abs_max: float


@dataclass(frozen=True)
class Pair:
    """Two sides, by their places."""

    first: int
    second: int
    only_first: int
    """Clips that only the first side has numbers of."""
    only_second: int
    disagreements: tuple[tuple[str, str, int], ...]
    """What became of a clip on either side, where that differs, and of how many; the most frequent first."""
    agreements: tuple[Agreement, ...]
    """One for each signal that both sides have."""


def compare_sides(sides: Sequence[Side]) -> list[Pair]:
    """Every two of few sides; of many, the first with each of the others."""
    places: Iterator[tuple[int, int]] = combinations(range(len(sides)), 2)
    if len(sides) > _MOST_TO_CROSS:
        places = ((0, place) for place in range(1, len(sides)))
    return [_compare(sides, first, second) for first, second in places]


def spread_of(sides: Sequence[Side]) -> Numbers:
    """``[clips]``: how far the sides' ``mean`` of a clip lie apart; NaN where fewer than two have it."""
    means = np.stack([side.signals["mean"] for side in sides])
    known = np.isfinite(means)
    low, high = np.where(known, means, np.inf).min(axis=0), np.where(known, means, -np.inf).max(axis=0)
    return np.where(known.sum(axis=0) > 1, high - low, np.nan)


def _compare(sides: Sequence[Side], first: int, second: int) -> Pair:
    a, b = sides[first], sides[second]
    differ = np.flatnonzero(a.statuses != b.statuses)
    kinds = Counter(zip(a.statuses[differ].tolist(), b.statuses[differ].tolist(), strict=True))
    has_a, has_b = (np.isfinite(side.signals["mean"]) for side in (a, b))
    return Pair(
        first,
        second,
        only_first=int((has_a & ~has_b).sum()),
        only_second=int((has_b & ~has_a).sum()),
        disagreements=tuple((one, other, count) for (one, other), count in kinds.most_common()),
        agreements=tuple(_agree(name, a.signals[name], b.signals[name]) for name in a.signals if name in b.signals),
    )


def _agree(signal: str, a: Numbers, b: Numbers) -> Agreement:
    both = np.isfinite(a) & np.isfinite(b)
    a, b = a[both], b[both]
    delta = b - a
    size = np.abs(delta)
    if not len(delta):
        return Agreement(signal, 0, *[np.nan] * 6)
    return Agreement(
        signal,
        len(delta),
        plcc(a, b),
        srocc(a, b),
        float(delta.mean()),
        float(size.mean()),
        float(np.quantile(size, 0.95)),
        float(size.max()),
    )
