"""How far two columns of numbers agree: correlations, the error after a logistic mapping, and intervals for them.

All take finite float64 numbers, ``[n]``. A correlation that has no meaning, for want of rows or because one side does
not vary, is NaN and never an error. SciPy computes them; it takes half a second to import, and only functions do so.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
LEVEL = 0.95
"""The share of resamples that an interval holds."""
_MOST_STEPS = 2000
_FLAT = 1e-10
"""Residuals below this share of the values they are left of are rounding, and nothing to correlate."""
_ROUNDING = 1e-12
"""Values that differ by less than this share of their size are one value."""


@dataclass(frozen=True)
class Mapping:
    """What ``fit_logistic`` makes of the values that it maps."""

    values: Numbers
    """``[n]``, on the scale of what they were fitted to."""
    form: str
    """``logistic``, or ``linear`` where the logistic did not converge or was worse than a straight line; ``none`` where
    others than ``fit_logistic`` have left it out, with values of NaN."""
    parameters: tuple[float, ...]
    """Of the logistic β1 to β4 as ``fit_logistic`` has them, of the line its slope and its value at 0."""


def plcc(x: Numbers, y: Numbers) -> float:
    """Pearson's linear correlation coefficient, in [−1, 1]."""
    from scipy.stats import pearsonr  # noqa: PLC0415

    return float(pearsonr(x, y).statistic) if _both_vary(x, y) else np.nan


def srocc(x: Numbers, y: Numbers) -> float:
    """Spearman's rank-order correlation coefficient, in [−1, 1]; equal values share the average of their ranks."""
    from scipy.stats import spearmanr  # noqa: PLC0415

    return float(spearmanr(x, y).statistic) if _both_vary(x, y) else np.nan


def krcc(x: Numbers, y: Numbers) -> float:
    """Kendall's rank correlation coefficient tau-b, in [−1, 1], which counts ties out of both sides."""
    from scipy.stats import kendalltau  # noqa: PLC0415

    return float(kendalltau(x, y).statistic) if _both_vary(x, y) else np.nan


def rmse(a: Numbers, b: Numbers) -> float:
    """Root of the mean squared difference, in the unit of the values; NaN where there are none."""
    return float(np.sqrt(np.mean((a - b) ** 2))) if len(a) else np.nan


def fit_logistic(x: Numbers, y: Numbers) -> Mapping:
    """Map ``x`` to the scale of ``y`` by the monotone logistic of four parameters, fitted by least squares.

    ``β2 + (β1 − β2) / (1 + exp(−(x − β3) / |β4|))``, as in VQEG's reports and ITU-T's tutorial on objective perceptual
    assessment of video quality (2004). It falls where ``y`` falls with ``x``. Where the fit does not converge, or is
    worse than a straight line, ``values`` are those of the line and ``form`` says so.
    """
    if not _both_vary(x, y) or len(x) < 4:
        level = float(np.mean(y)) if len(y) else np.nan
        return Mapping(np.full(len(x), level), "linear", (0.0, level))
    slope, start = np.polyfit(x, y, 1)
    line = Mapping(slope * x + start, "linear", (float(slope), float(start)))
    center, scale = float(x.mean()), float(x.std())
    if (parameters := _solve_logistic((x - center) / scale, y, rising=slope >= 0)) is None:
        return line
    b1, b2, b3, b4 = parameters
    values = _logistic((x - center) / scale, b1, b2, b3, b4)
    if not rmse(values, y) <= rmse(line.values, y):
        return line
    return Mapping(values, "logistic", (b1, b2, center + scale * b3, scale * abs(b4)))


def partial_correlation(x: Numbers, y: Numbers, given: Numbers) -> float:
    """Pearson's correlation of what is left of ``x`` and ``y`` when lines in ``given`` ``[n, k]`` are taken from both.

    NaN where nothing is left of one of them.
    """
    left_x, left_y = leave_out(x, given), leave_out(y, given)
    if not (_is_left(left_x, x) and _is_left(left_y, y)) or len(x) < given.shape[1] + 3:
        return np.nan
    return plcc(left_x, left_y)


def leave_out(x: Numbers, given: Numbers) -> Numbers:
    """The residuals ``[n]`` of ``x`` after least squares in the columns of ``given`` ``[n, k]`` and a constant."""
    scale = given.std(axis=0)
    columns = (given - given.mean(axis=0)) / np.where(scale > 0, scale, 1.0)  # of one size, for the solver's sake
    design = np.column_stack([np.ones(len(x)), columns])
    weights, *_ = np.linalg.lstsq(design, x, rcond=None)
    return np.asarray(x - design @ weights, np.float64)


def bootstrap(
    statistic: Callable[[NDArray[np.intp]], float], groups: NDArray[Any], resamples: int = 1000, seed: int = 0
) -> tuple[float, float]:
    """The 95% percentile interval of ``statistic`` when contents are drawn anew with replacement.

    ``groups`` ``[n]`` are the rows' contents: rows of one content come and go together, because they are not
    independent. ``statistic`` gets the indices of a resample's rows, some of them several times. Both ends are NaN
    where there are fewer than two contents, or no resample has a number.
    """
    contents = Contents(groups)
    return interval_of([statistic(contents.rows_of(drawn)) for drawn in contents.draws(resamples, seed)])


def interval_of(values: Any) -> tuple[float, float]:
    """The interval that holds ``LEVEL`` of ``values``, the same share outside at both ends; NaN is left out."""
    finite = np.asarray(values, np.float64)
    finite = finite[np.isfinite(finite)]
    if not len(finite):
        return np.nan, np.nan
    low, high = np.quantile(finite, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


class Contents:
    """Rows by their contents, of which resamples are drawn."""

    def __init__(self, groups: NDArray[Any]) -> None:
        _, self.codes = np.unique(groups, return_inverse=True)
        """``[n]``: each row's content, a number from 0."""
        self.count = int(self.codes.max(initial=-1)) + 1
        self._rows = np.argsort(self.codes, kind="stable")
        self._sizes = np.bincount(self.codes, minlength=self.count)
        self._starts = np.cumsum(self._sizes) - self._sizes

    def draws(self, resamples: int, seed: int) -> Iterator[NDArray[np.int64]]:
        """The contents of each resample, as many as there are; no resample where there are fewer than two."""
        generator = np.random.default_rng(seed)
        for _ in range(resamples if self.count > 1 else 0):
            yield generator.integers(0, self.count, self.count)

    def rows_of(self, drawn: NDArray[np.int64]) -> NDArray[np.intp]:
        """The rows of the contents ``drawn``, one content after the other."""
        sizes = self._sizes[drawn]
        starts = np.repeat(self._starts[drawn] - (np.cumsum(sizes) - sizes), sizes)
        return self._rows[starts + np.arange(len(starts))]


def _both_vary(x: Numbers, y: Numbers) -> bool:
    return len(x) > 1 and all(np.ptp(values) > _ROUNDING * np.abs(values).max() for values in (x, y))


def _is_left(residuals: Numbers, x: Numbers) -> bool:
    return bool(np.linalg.norm(residuals) > _FLAT * np.linalg.norm(x - x.mean()))


def _logistic(x: Numbers, b1: float, b2: float, b3: float, b4: float) -> Numbers:
    from scipy.special import expit  # noqa: PLC0415  it does not overflow

    return np.asarray(b2 + (b1 - b2) * expit((x - b3) / max(abs(b4), 1e-12)), np.float64)


def _solve_logistic(x: Numbers, y: Numbers, *, rising: bool) -> tuple[float, float, float, float] | None:
    """The parameters for ``x`` of mean 0 and deviation 1; ``None`` where they do not converge."""
    from scipy.optimize import curve_fit  # noqa: PLC0415

    high, low = float(y.max()), float(y.min())
    first = (high, low, 0.0, 1.0) if rising else (low, high, 0.0, 1.0)
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a covariance that nobody asks for
            solution, *_ = curve_fit(_logistic, x, y, p0=first, jac=_slopes, maxfev=_MOST_STEPS)
    except RuntimeError:  # so many steps, and no end
        return None
    b1, b2, b3, b4 = map(float, solution)
    return (b1, b2, b3, b4) if np.isfinite(solution).all() else None


def _slopes(x: Numbers, b1: float, b2: float, b3: float, b4: float) -> Numbers:
    """The derivatives ``[n, 4]`` of ``_logistic`` by its parameters."""
    from scipy.special import expit  # noqa: PLC0415

    width = max(abs(b4), 1e-12)
    at = (x - b3) / width
    share = expit(at)
    steep = (b1 - b2) * share * (1 - share) / width
    return np.column_stack([share, 1 - share, -steep, -steep * at * (1.0 if b4 >= 0 else -1.0)])
