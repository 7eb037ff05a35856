"""Correlations of resampled rows without resampling them: how many times each row was drawn is its weight.

Sorting is done once and not once a resample: a thousand resamples of 150,000 rows take seconds. The numbers are those
of ``correlation`` on the rows themselves, repeated.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from saliency_engine.numerics.correlation import Contents
from saliency_engine.numerics.kernels import kernel

Numbers = NDArray[np.float64]
Weights = NDArray[np.int64]


class WeightedPair:
    """Two columns ``x`` and ``y``, ``[n]``, finite, whose rows count several times or not at all."""

    def __init__(self, x: Numbers, y: Numbers) -> None:
        order = np.argsort(x, kind="stable")
        self._order = order
        self._x, self._y = x[order], y[order]
        _, self._codes_x = np.unique(self._x, return_inverse=True)
        _, self._codes_y = np.unique(self._y, return_inverse=True)

    def plcc(self, weights: Weights) -> float:
        """As ``correlation.plcc``; ``weights`` ``[n]`` are in the order of ``x``'s rows as they were given."""
        return float(_correlate(self._x, self._y, weights[self._order]))

    def srocc(self, weights: Weights) -> float:
        """As ``correlation.srocc``."""
        weights = weights[self._order]
        ranks_x, ranks_y = (_rank(codes, weights) for codes in (self._codes_x, self._codes_y))
        return float(_correlate(ranks_x, ranks_y, weights))

    def krcc(self, weights: Weights) -> float:
        """As ``correlation.krcc``."""
        return float(_concord(self._codes_x, self._codes_y, weights[self._order]))


class WeightedPartial:
    """The partial correlation of ``x`` and ``y`` ``[n]`` given ``given`` ``[n, k]``, of weighted rows."""

    def __init__(self, x: Numbers, y: Numbers, given: Numbers) -> None:
        columns = np.column_stack([given, x, y])
        scale = columns.std(axis=0)
        self._columns = (columns - columns.mean(axis=0)) / np.where(scale > 0, scale, 1.0)

    def correlation(self, weights: Weights) -> float:
        """As ``correlation.partial_correlation``."""
        drawn = weights > 0
        columns, shares = self._columns[drawn], weights[drawn] / weights.sum()
        columns = columns - shares @ columns
        products = (columns * shares[:, None]).T @ columns
        given = products[:-2, :-2]
        fitted = np.linalg.lstsq(given, products[:-2, -2:], rcond=1e-12)[0]  # columns may depend on one another
        left = products[-2:, -2:] - products[-2:, :-2] @ fitted
        scale = np.sqrt(max(left[0, 0], 0.0) * max(left[1, 1], 0.0))
        return float(left[0, 1] / scale) if scale > 1e-12 else np.nan


def weighted_rmse(squares: Numbers, weights: Weights) -> float:
    """Root of the weighted mean of squared errors ``[n]``."""
    return float(np.sqrt(squares @ weights / weights.sum()))


def resample(
    statistics: Sequence[Callable[[Weights], float]], groups: NDArray[Any], resamples: int = 1000, seed: int = 0
) -> Numbers:
    """``[resamples, statistics]``: what each of ``statistics`` is on each resample of the contents ``groups`` ``[n]``.

    A statistic gets the rows' weights ``[n]``. All of them see the same resamples, which are those of ``bootstrap``, so
    that differences of columns are paired. There is no resample where there are fewer than two contents.
    """
    contents = Contents(groups)
    weights = map(contents.weights_of, contents.draws(resamples, seed))
    values = [[statistic(drawn) for statistic in statistics] for drawn in weights]
    return np.array(values, np.float64).reshape(-1, len(statistics))


@kernel
def _correlate(x: Numbers, y: Numbers, weights: Weights) -> float:
    total, sum_x, sum_y = 0.0, 0.0, 0.0
    for i in range(len(x)):
        total += weights[i]
        sum_x += weights[i] * x[i]
        sum_y += weights[i] * y[i]
    mean_x, mean_y = sum_x / total, sum_y / total
    xx, yy, xy = 0.0, 0.0, 0.0
    for i in range(len(x)):
        dx, dy = x[i] - mean_x, y[i] - mean_y
        xx += weights[i] * dx * dx
        yy += weights[i] * dy * dy
        xy += weights[i] * dx * dy
    if xx <= 0.0 or yy <= 0.0:
        return np.nan
    return float(xy / np.sqrt(xx) / np.sqrt(yy))


@kernel
def _rank(codes: NDArray[np.int64], weights: Weights) -> Numbers:
    """The average ranks of the rows; ``codes`` number the distinct values in their order."""
    sizes = np.zeros(codes.max() + 1, np.int64)
    for i in range(len(codes)):
        sizes[codes[i]] += weights[i]
    middles = np.empty(len(sizes), np.float64)
    before = 0
    for value in range(len(sizes)):
        middles[value] = before + (sizes[value] + 1) / 2
        before += sizes[value]
    return middles[codes]


@kernel
def _concord(x: NDArray[np.int64], y: NDArray[np.int64], weights: Weights) -> float:
    """Kendall's tau-b of rows sorted by ``x``; both are codes that number the distinct values in their order.

    Pairs are counted with a Fenwick tree over ``y``: n log n steps.
    """
    tree = np.zeros(y.max() + 2, np.int64)
    same = np.zeros(y.max() + 1, np.int64)
    total, balance, ties_x = 0, 0, 0
    first = 0
    while first < len(x):
        end = first
        while end < len(x) and x[end] == x[first]:  # rows that tie in x are no pairs of one another
            if weights[end]:
                below, place = 0, y[end]
                while place > 0:
                    below += tree[place]
                    place -= place & -place
                balance += weights[end] * (2 * below + same[y[end]] - total)
            end += 1
        group = 0
        for i in range(first, end):
            if weights[i]:
                group += weights[i]
                same[y[i]] += weights[i]
                place = y[i] + 1
                while place < len(tree):
                    tree[place] += weights[i]
                    place += place & -place
        total += group
        ties_x += group * (group - 1) // 2
        first = end
    ties_y = 0
    for value in range(len(same)):
        ties_y += same[value] * (same[value] - 1) // 2
    pairs = total * (total - 1) // 2
    if pairs in (ties_x, ties_y):
        return np.nan
    return float(balance / np.sqrt(float(pairs - ties_x)) / np.sqrt(float(pairs - ties_y)))
