"""Regressors that are tuned and tested on different contents: predictions for every clip by a model that never saw it.

Nested cross-validation. The outer folds test; in what is left to train, inner folds choose the settings; both part no
content. Gaps are filled and columns scaled by what the training clips of the very fold show. scikit-learn fits.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from saliency_engine.numerics.splits import split_in_folds

Numbers = NDArray[np.float64]
Fit = Callable[[Numbers, Numbers, Numbers, int], Numbers]
"""Fit to ``x`` ``[n, k]`` and ``y`` ``[n]``, and predict the rows of a third array: ``[m, settings]``, or with the
number of one of the settings ``[m, 1]``; -1 stands for all of them."""
ALL = -1
_INNER_FOLDS = 3
_ALPHAS = np.logspace(-2, 4, 13)
_SVR_SETTINGS = tuple((cost, width) for cost in (1.0, 8.0, 64.0) for width in (0.4, 1.2, 4.0))
_LEAVES, _STEPS, _RATE = (4, 12), (20, 40, 80, 160), 0.1


@dataclass(frozen=True)
class Tested:
    """What a regressor predicts for clips that it was not trained on."""

    predictions: Numbers
    """``[repeats, n]``"""
    relative: Numbers
    """``[repeats, n]``: the predictions less the mean score of the clips that the fold was trained on.

    That mean is low where the tested clips are good, so that a regressor that knows nothing, and says the mean, would
    be correlated negatively over all folds."""


def draw_folds(y: Numbers, contents: NDArray[np.int64], folds: int, repeats: int, seed: int) -> NDArray[np.int64]:
    """``[repeats, n]`` the fold that tests each row; see ``split_in_folds``."""
    return np.stack([split_in_folds(y, contents, folds, seed + repeat) for repeat in range(repeats)])


def cross_validate(
    name: str,
    x: Numbers,
    y: Numbers,
    contents: NDArray[np.int64],
    folds: NDArray[np.int64],
    *,
    advance: Callable[[], None] = lambda: None,
) -> Tested:
    """Predict ``y`` ``[n]`` from ``x`` ``[n, k]``, which may have NaN, by the regressor ``name`` of ``REGRESSORS``.

    ``contents`` ``[n]`` numbers the contents, ``folds`` ``[repeats, n]`` are those of ``draw_folds``; ``advance`` is
    called after each of them.
    """
    fit = REGRESSORS[name]
    predictions, relative = np.full(folds.shape, np.nan), np.full(folds.shape, np.nan)

    def test(task: tuple[int, int]) -> None:
        repeat, fold = task
        tested = folds[repeat] == fold
        predicted, level = _predict(fit, x[~tested], y[~tested], contents[~tested], x[tested])
        predictions[repeat, tested], relative[repeat, tested] = predicted, predicted - level
        advance()

    tasks = [(repeat, fold) for repeat in range(len(folds)) for fold in range(int(folds[repeat].max()) + 1)]
    if name == "ridge":  # each fit takes a millisecond, less than handing it to a thread
        for task in tasks:
            test(task)
    else:
        with ThreadPoolExecutor(os.cpu_count() or 1) as threads:  # they compute without the interpreter's lock
            list(threads.map(test, tasks))
    return Tested(predictions, relative)


def _predict(fit: Fit, x: Numbers, y: Numbers, contents: NDArray[np.int64], new: Numbers) -> tuple[Numbers, float]:
    """Predictions for ``new`` by the setting that is best within ``x``, and the mean of ``y``."""
    _, numbers = np.unique(contents, return_inverse=True)
    inner_folds = min(_INNER_FOLDS, int(numbers.max()) + 1)
    errors = 0.0
    if inner_folds > 1:
        inner = split_in_folds(y, numbers, inner_folds, 0)
        for fold in range(inner_folds):
            tested = inner == fold
            values, level, spread = _standardize(y[~tested])
            predicted = fit(*_scale(x[~tested], values, x[tested]), ALL) * spread + level
            errors = errors + ((predicted - y[tested, None]) ** 2).sum(axis=0)
    values, level, spread = _standardize(y)
    predicted = fit(*_scale(x, values, new), int(np.argmin(errors)))[:, 0] * spread + level
    return predicted, level


def _standardize(y: Numbers) -> tuple[Numbers, float, float]:
    level, spread = float(y.mean()), float(y.std()) or 1.0
    return (y - level) / spread, level, spread


def _scale(x: Numbers, y: Numbers, new: Numbers) -> tuple[Numbers, Numbers, Numbers]:
    """``x`` and ``new`` with the medians of ``x`` in their gaps, less its means and by its deviations; and ``y``."""
    gaps = np.isnan(x)
    medians = np.array([np.median(x[~gap, column]) if not gap.all() else 0.0 for column, gap in enumerate(gaps.T)])
    filled, new = np.where(gaps, medians, x), np.where(np.isnan(new), medians, new)
    means, deviations = filled.mean(axis=0), filled.std(axis=0)
    deviations = np.where(deviations > 1e-12 * np.abs(means), deviations, 1.0)
    return (filled - means) / deviations, y, (new - means) / deviations


def _fit_ridge(x: Numbers, y: Numbers, new: Numbers, setting: int) -> Numbers:
    """Ridge regression: a setting is the penalty; with ``svd`` one decomposition serves all of them."""
    from sklearn.linear_model import Ridge  # noqa: PLC0415

    alphas = _ALPHAS if setting == ALL else _ALPHAS[setting : setting + 1]
    model = Ridge(alpha=alphas, solver="svd").fit(x, np.tile(y[:, None], len(alphas)))
    return np.asarray(model.predict(new), np.float64).reshape(len(new), -1)


def _fit_svr(x: Numbers, y: Numbers, new: Numbers, setting: int) -> Numbers:
    """Support vectors with a Gaussian kernel: a setting is a cost, and the kernel's gamma times the columns.

    Columns are scaled to [−1, 1], as in the paper on VIDEVAL: with deviations of 1, whose tails are long, SROCC on
    KoNViD-1k is lower by 0.01.
    """
    from sklearn.svm import SVR  # noqa: PLC0415

    low, high = x.min(axis=0), x.max(axis=0)
    half = np.where(high > low, (high - low) / 2, 1.0)
    x, new = (x - (low + high) / 2) / half, (new - (low + high) / 2) / half
    settings = _SVR_SETTINGS if setting == ALL else _SVR_SETTINGS[setting : setting + 1]
    models = [SVR(C=cost, gamma=width / x.shape[1], epsilon=0.1, cache_size=400) for cost, width in settings]
    return np.column_stack([model.fit(x, y).predict(new) for model in models])


def _fit_boosting(x: Numbers, y: Numbers, new: Numbers, setting: int) -> Numbers:
    """Gradient boosting of trees: a setting is the leaves of a tree and the number of trees."""
    from sklearn.ensemble import HistGradientBoostingRegressor  # noqa: PLC0415
    from threadpoolctl import threadpool_limits  # noqa: PLC0415

    settings = [(leaves, steps) for leaves in _LEAVES for steps in _STEPS]
    chosen = settings if setting == ALL else settings[setting : setting + 1]
    columns: list[Numbers] = []
    # Its own threads wait for each other actively: on a busy machine of two cores a fit of 0.2 s took minutes.
    with threadpool_limits(1, user_api="openmp"):
        for leaves in dict.fromkeys(leaves for leaves, _ in chosen):
            counts = [steps for each, steps in chosen if each == leaves]
            model = HistGradientBoostingRegressor(
                learning_rate=_RATE,
                max_iter=max(counts),
                max_leaf_nodes=leaves,
                min_samples_leaf=int(np.clip(len(x) // 20, 2, 20)),
                early_stopping=False,
                random_state=0,
            ).fit(x, y)
            columns += [stage for step, stage in enumerate(model.staged_predict(new), 1) if step in counts]
    return np.column_stack(columns)


REGRESSORS: dict[str, Fit] = {"ridge": _fit_ridge, "svr": _fit_svr, "boosting": _fit_boosting}
"""By name: ridge regression, support vectors with a Gaussian kernel, gradient boosting of trees."""


def corrected_t_test(differences: Numbers, tested_share: float) -> float:
    """The two-sided p of the mean of ``differences`` ``[n]``, one for each fold of repeated cross-validation.

    Folds share training clips, so that the variance of their mean is more than that of n independent numbers:
    (1/n + tested / trained) times their variance, after Nadeau & Bengio, "Inference for the Generalization Error"
    (Machine Learning 52, 2003). ``tested_share`` is tested / trained. NaN for fewer than two differences; 1 where all
    are 0.
    """
    from scipy.stats import t  # noqa: PLC0415

    count = len(differences)
    if count < 2:
        return np.nan
    mean, variance = float(differences.mean()), float(differences.var(ddof=1))
    if variance == 0.0:
        return 1.0 if mean == 0.0 else 0.0
    statistic = mean / np.sqrt((1 / count + tested_share) * variance)
    return float(2 * t.sf(abs(statistic), count - 1))


def adjust(p_values: Sequence[float]) -> list[float]:
    """Holm's adjustment of p for as many comparisons as there are; NaN stays, and counts as one of them."""
    order = sorted(range(len(p_values)), key=lambda place: np.nan_to_num(p_values[place], nan=2.0))
    adjusted, highest = [np.nan] * len(p_values), 0.0
    for rank, place in enumerate(order):
        if not np.isnan(p_values[place]):
            highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[place]))
            adjusted[place] = highest
    return adjusted
