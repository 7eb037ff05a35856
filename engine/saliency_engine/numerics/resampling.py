"""Statistics of many resamples of a large table: how many times each row was drawn is its weight.

Sums over rows are products of matrices, for all resamples at once, and sorting is done once and not once a resample: a
thousand resamples of 150,000 rows take seconds. The numbers are those of ``correlation`` on the drawn rows themselves.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from saliency_engine.numerics.correlation import Contents
from saliency_engine.numerics.kernels import kernel

Numbers = NDArray[np.float64]
_CHUNK = 1 << 13
"""Contents whose sums are in memory at once, with as many counts for each resample."""


class Resamples:
    """The resamples that ``bootstrap`` draws of rows with the contents ``groups`` ``[n]``.

    Every method gives an array ``[resamples]``; statistics of one object are paired, since they see the same draws.
    Where there are fewer than two contents there is no resample.
    """

    def __init__(self, groups: NDArray[Any], resamples: int = 1000, seed: int = 0) -> None:
        self.contents = Contents(groups)
        number = self.contents.count
        drawn = self.contents.draws(resamples, seed)
        counts = [np.bincount(one, minlength=number).astype(np.uint16) for one in drawn]
        self.counts = np.stack(counts) if counts else np.zeros((0, number), np.uint16)
        """``[resamples, contents]``: how many times each content was drawn."""

    def plcc(self, x: Numbers, y: Numbers) -> Numbers:
        """As ``correlation.plcc``."""
        x, y = _standardize(x), _standardize(y)
        total, sum_x, sum_y, xx, yy, xy = self._sums([np.ones(len(x)), x, y, x * x, y * y, x * y]).T
        scale = np.sqrt(_not_rounding(xx - sum_x**2 / total, xx) * _not_rounding(yy - sum_y**2 / total, yy))
        return _divide(xy - sum_x * sum_y / total, scale)

    def rmse(self, a: Numbers, b: Numbers) -> Numbers:
        """As ``correlation.rmse``."""
        total, squares = self._sums([np.ones(len(a)), (a - b) ** 2]).T
        return np.asarray(np.sqrt(squares / total), np.float64)

    def rank_correlations(self, x: Numbers, y: Numbers) -> tuple[Numbers, Numbers]:
        """As ``correlation.srocc`` and ``correlation.krcc``."""
        order = np.argsort(x, kind="stable")
        codes_x, codes_y = (np.unique(values[order], return_inverse=True)[1].astype(np.int32) for values in (x, y))
        contents = self.contents.codes[order].astype(np.int32)
        workers = os.cpu_count() or 1
        with ThreadPoolExecutor(workers) as threads:  # the kernel lets go of the GIL
            parts = np.array_split(self.counts, workers)
            done = list(threads.map(lambda counts: _correlate_ranks(codes_x, codes_y, contents, counts), parts))
        return np.concatenate([spearman for spearman, _ in done]), np.concatenate([kendall for _, kendall in done])

    def partial_correlation(self, x: Numbers, y: Numbers, given: Numbers) -> Numbers:
        """As ``correlation.partial_correlation``; ``given`` is ``[n, k]``."""
        columns = [np.ones(len(x)), *map(_standardize, [*given.T, x, y])]
        size = len(columns)
        upper = np.triu_indices(size)
        sums = self._sums([columns[a] * columns[b] for a, b in zip(*upper, strict=True)])
        products = np.empty((len(sums), size, size))
        products[:, upper[0], upper[1]] = sums
        products[:, upper[1], upper[0]] = sums
        return np.array([_leave_out(one / one[0, 0]) for one in products], np.float64)

    def _sums(self, columns: Sequence[Numbers]) -> Numbers:
        """``[resamples, columns]``: the sums of ``columns``, each ``[n]``, over the rows of each resample."""
        codes, number = self.contents.codes, self.contents.count
        own = np.column_stack([np.bincount(codes, column, minlength=number) for column in columns])
        sums = np.zeros((len(self.counts), len(columns)))
        for start in range(0, number, _CHUNK):
            sums += self.counts[:, start : start + _CHUNK].astype(np.float64) @ own[start : start + _CHUNK]
        return sums


def _standardize(values: Numbers) -> Numbers:
    """With mean 0 and deviation 1, so that sums of squares lose no digits."""
    scale = values.std()
    return np.asarray((values - values.mean()) / (scale if scale > 0 else 1.0), np.float64)


def _not_rounding(squares: Numbers, of: Numbers) -> Numbers:
    """``squares``, and 0 where they are what rounding leaves ``of`` these sums of squares."""
    return np.where(squares > 1e-12 * np.maximum(of, 1.0), squares, 0.0)


def _divide(above: Numbers, below: Numbers) -> Numbers:
    return np.where(below > 0, above / np.where(below > 0, below, 1.0), np.nan)


def _leave_out(products: Numbers) -> float:
    """The correlation of the last two columns of mean ``products`` given all before them, of which the first is 1."""
    given = products[:-2, :-2]
    fitted = np.linalg.lstsq(given, products[:-2, -2:], rcond=1e-12)[0]  # columns may depend on one another
    left = products[-2:, -2:] - products[-2:, :-2] @ fitted
    scale = np.sqrt(max(left[0, 0], 0.0) * max(left[1, 1], 0.0))
    return float(left[0, 1] / scale) if scale > 1e-12 else np.nan


@kernel
def _correlate_ranks(
    x: NDArray[np.int32], y: NDArray[np.int32], contents: NDArray[np.int32], counts: NDArray[np.uint16]
) -> tuple[Numbers, Numbers]:
    """Spearman's and Kendall's correlation for each row of ``counts``.

    ``x`` and ``y`` number the distinct values in their order; rows are sorted by ``x``.
    """
    values_x, values_y = x[-1] + 1, 0
    for i in range(len(y)):
        values_y = max(values_y, y[i] + 1)
    spearman, kendall = np.empty(len(counts)), np.empty(len(counts))
    weights = np.empty(len(x), np.int32)
    for resample in range(len(counts)):
        for i in range(len(x)):
            weights[i] = counts[resample, contents[i]]
        spearman[resample] = _spearman(x, y, weights, values_x, values_y)
        kendall[resample] = _kendall(x, y, weights, values_y)
    return spearman, kendall


@kernel
def _middles(codes: NDArray[np.int32], weights: NDArray[np.int32], values: int) -> tuple[Numbers, float]:
    """For each of so many ``values`` its average rank less the mean rank, and these squared, summed over all rows."""
    sizes = np.zeros(values, np.int64)
    total = 0
    for i in range(len(codes)):
        sizes[codes[i]] += weights[i]
        total += weights[i]
    middle = (total + 1) / 2
    ranks = np.empty(len(sizes), np.float64)
    before, squares = 0, 0.0
    for value in range(len(sizes)):
        ranks[value] = before + (sizes[value] + 1) / 2 - middle
        squares += sizes[value] * ranks[value] * ranks[value]
        before += sizes[value]
    return ranks, squares


@kernel
def _spearman(
    x: NDArray[np.int32], y: NDArray[np.int32], weights: NDArray[np.int32], values_x: int, values_y: int
) -> float:
    ranks_x, xx = _middles(x, weights, values_x)
    ranks_y, yy = _middles(y, weights, values_y)
    xy = 0.0
    for i in range(len(x)):
        xy += weights[i] * ranks_x[x[i]] * ranks_y[y[i]]
    return xy / np.sqrt(xx) / np.sqrt(yy) if xx > 0.0 and yy > 0.0 else np.nan


@kernel
def _kendall(x: NDArray[np.int32], y: NDArray[np.int32], weights: NDArray[np.int32], values: int) -> float:
    """Tau-b. Rows are taken by their ``x``, and those before with a smaller ``y`` are counted in four levels.

    ``values`` is the number of different ``y``. A count of one level is the sum of 16 of the level below. Plain loops:
    with sums of slices this compiles for four times as long.
    """
    units, tens = np.zeros(values + 16, np.int32), np.zeros((values >> 4) + 16, np.int32)
    hundreds, rest = np.zeros((values >> 8) + 16, np.int32), np.zeros((values >> 12) + 1, np.int64)
    total, balance, ties_x, first = 0, 0, 0, 0
    while first < len(x):
        end, group = first, 0
        while end < len(x) and x[end] == x[first]:  # rows that tie in x are no pairs of one another
            if weights[end]:
                below, value = 0, y[end]
                for place in range(value >> 12):
                    below += rest[place]
                for place in range(value >> 12 << 4, value >> 8):
                    below += hundreds[place]
                for place in range(value >> 8 << 4, value >> 4):
                    below += tens[place]
                for place in range(value >> 4 << 4, value):
                    below += units[place]
                balance += weights[end] * (2 * below + units[value] - total)
                group += weights[end]
            end += 1
        for i in range(first, end):
            units[y[i]] += weights[i]
            tens[y[i] >> 4] += weights[i]
            hundreds[y[i] >> 8] += weights[i]
            rest[y[i] >> 12] += weights[i]
        total += group
        ties_x += group * (group - 1) // 2
        first = end
    ties_y = 0
    for value in range(values):
        ties_y += np.int64(units[value]) * (units[value] - 1) // 2
    pairs = total * (total - 1) // 2
    if pairs in (ties_x, ties_y):
        return np.nan
    return float(balance / np.sqrt(float(pairs - ties_x)) / np.sqrt(float(pairs - ties_y)))
