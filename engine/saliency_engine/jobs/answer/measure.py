"""How much better scores are predicted with the added columns: gains, their intervals, a paired test, a verdict."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from saliency_engine.jobs.answer.questions import Question
from saliency_engine.jobs.answer.settings import Settings
from saliency_engine.numerics.correlation import LEVEL, fit_logistic, interval_of, plcc, rmse, srocc
from saliency_engine.numerics.regression import Tested, corrected_t_test, cross_validate, draw_folds
from saliency_engine.numerics.resampling import Resamples

_FEWEST_OUTSIDE = 400
"""Resamples for each question: so that ten of them lie outside the wider interval, at either end."""
METRICS = ("srocc", "plcc", "rmse")
GATE = {"plcc": 0.85, "srocc": 0.82, "rmse": 0.45, "spread": 0.005}
"""When VMAFx takes a MOS head: PLCC and SROCC at least, RMSE on 1 to 5 and the spread of PLCC over folds at most."""


@dataclass(frozen=True)
class Measured:
    """What one regressor makes of one question."""

    regressor: str
    base: dict[str, float]
    """``METRICS`` of the predictions without the added columns: the mean over the repeats, all clips at once."""
    both: dict[str, float]
    """The same with them."""
    gains: dict[str, float]
    """``both`` less ``base``; of RMSE the other way round, so that more is better."""
    intervals: dict[str, tuple[float, float]]
    """95% intervals of the gains; see ``measure``."""
    judged: tuple[float, float]
    """The interval of the gain in SROCC that a verdict rests on: wider than 95% where several questions are asked."""
    p: dict[str, float]
    """Of a paired test over folds; see ``corrected_t_test``."""
    fold_medians: dict[str, dict[str, float]]
    """``base`` and ``both``: medians of ``METRICS`` over the folds as papers report them, so PLCC and RMSE after a
    logistic mapping that is fitted to the tested clips themselves."""
    gate: dict[str, dict[str, Any]]
    """``base`` and ``both``: the numbers that ``GATE`` is about, and whether they pass."""
    predicted: NDArray[np.float64]
    """``[n]``: the mean over the repeats of the predictions with the added columns."""


def measure(
    question: Question,
    regressor: str,
    settings: Settings,
    *,
    questions: int = 1,
    advance: Callable[[], None] = lambda: None,
) -> Measured:
    """Cross-validate ``regressor`` with and without the added columns, on the same folds.

    ``questions`` are asked together: ``judged`` is as wide as each needs for 95% of all (Bonferroni).

    Intervals come of resampled contents, and are wider than the resamples by √(1 + k / (k − 1)) for k folds, 1.5 for
    five: other clips to train with would have given other models, and folds share them. That is the correction of
    Nadeau and Bengio, see ``corrected_t_test``. Without it, one of ten tables of noise has an interval above zero.
    """
    y, contents = question.target, question.contents
    folds = draw_folds(y, contents, settings.folds, settings.repeats, settings.seed)
    tested = [cross_validate(regressor, x, y, contents, folds, advance=advance) for x in (question.base, question.both)]
    base, both = (_score(each, y) for each in tested)
    by_fold = [_score_folds(each, y, folds) for each in tested]
    gains = {name: _gain(name, base[name], both[name]) for name in METRICS}
    share = 1 / (settings.folds - 1)
    drawn = _draw_gains(tested, y, contents, settings, questions)
    widening = np.sqrt(1 + settings.folds * share)
    drawn = {name: gains[name] + widening * (drawn[name] - gains[name]) for name in METRICS}
    differences = {name: _gain(name, by_fold[0][name], by_fold[1][name]) for name in METRICS}
    return Measured(
        regressor,
        base,
        both,
        gains,
        {name: interval_of(drawn[name]) for name in METRICS},
        _widen(drawn["srocc"], questions),
        {name: corrected_t_test(differences[name], share) for name in METRICS},
        {side: _medians(each, y, folds) for side, each in zip(("base", "both"), tested, strict=True)},
        {side: _check_gate(scores, y) for side, scores in zip(("base", "both"), by_fold, strict=True)},
        tested[1].predictions.mean(axis=0),
    )


def _gain(name: str, base: Any, both: Any) -> Any:
    return base - both if name == "rmse" else both - base


def _known(correlation: float) -> float:
    """A prediction that is the same for all clips says nothing of them: its correlation counts as 0."""
    return 0.0 if np.isnan(correlation) else correlation


def _score(tested: Tested, y: NDArray[np.float64]) -> dict[str, float]:
    return {
        "srocc": float(np.mean([_known(srocc(each, y)) for each in tested.relative])),
        "plcc": float(np.mean([_known(plcc(each, y)) for each in tested.relative])),
        "rmse": float(np.mean([rmse(each, y) for each in tested.predictions])),
    }


def _score_folds(tested: Tested, y: NDArray[np.float64], folds: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
    """Metric to ``[repeats × folds]``."""
    scores: dict[str, list[float]] = {name: [] for name in METRICS}
    for predictions, numbers in zip(tested.predictions, folds, strict=True):
        for fold in range(int(numbers.max()) + 1):
            rows = numbers == fold
            scores["srocc"].append(_known(srocc(predictions[rows], y[rows])))
            scores["plcc"].append(_known(plcc(predictions[rows], y[rows])))
            scores["rmse"].append(rmse(predictions[rows], y[rows]))
    return {name: np.array(values) for name, values in scores.items()}


def _draw_gains(
    tested: list[Tested], y: NDArray[np.float64], contents: NDArray[np.int64], settings: Settings, questions: int
) -> dict[str, NDArray[np.float64]]:
    """Metric to the gains of all resamples. Both sides see the same ones, so that their differences are paired."""
    resamples = Resamples(contents, max(settings.resamples, _FEWEST_OUTSIDE * questions), settings.seed)
    sides = [
        {
            "srocc": np.nan_to_num([resamples.rank_correlations(one, y)[0] for one in each.relative]).mean(axis=0),
            "plcc": np.nan_to_num([resamples.plcc(one, y) for one in each.relative]).mean(axis=0),
            "rmse": np.mean([resamples.rmse(one, y) for one in each.predictions], axis=0),
        }
        for each in tested
    ]
    return {name: _gain(name, sides[0][name], sides[1][name]) for name in METRICS}


def _widen(gains: NDArray[np.float64], questions: int) -> tuple[float, float]:
    outside = (1 - LEVEL) / questions
    low, high = np.quantile(gains, [outside / 2, 1 - outside / 2])
    return float(low), float(high)


def _medians(tested: Tested, y: NDArray[np.float64], folds: NDArray[np.int64]) -> dict[str, float]:
    mapped = np.empty_like(tested.predictions)
    for predictions, numbers, values in zip(tested.predictions, folds, mapped, strict=True):
        for fold in range(int(numbers.max()) + 1):
            rows = numbers == fold
            values[rows] = fit_logistic(predictions[rows], y[rows]).values
    plain, after = (_score_folds(Tested(each, each), y, folds) for each in (tested.predictions, mapped))
    scores = after | {"srocc": plain["srocc"]}
    return {name: float(np.median(values)) for name, values in scores.items()}


def _check_gate(scores: dict[str, NDArray[np.float64]], y: NDArray[np.float64]) -> dict[str, Any]:
    """The means over folds and the spread of PLCC; the RMSE counts on the scale 1 to 5 only."""
    values = {name: float(scores[name].mean()) for name in METRICS} | {"spread": float(np.ptp(scores["plcc"]))}
    passes = {name: bool(values[name] >= GATE[name]) for name in ("plcc", "srocc")}
    passes |= {name: bool(values[name] <= GATE[name]) for name in ("rmse", "spread")}
    on_scale = bool(y.min() >= 1 and y.max() <= 5)
    return values | {"passes": passes, "on_scale": on_scale, "passed": on_scale and all(passes.values())}
