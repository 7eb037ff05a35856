"""How well each signal predicts a label: correlations, errors and their intervals over contents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from saliency_engine.errors import InputError
from saliency_engine.jobs.compare.labels import explain_no_clip, find_contents, find_features, find_labels
from saliency_engine.jobs.compare.sides import KeyedTable, Numbers, Side
from saliency_engine.numerics import correlation
from saliency_engine.numerics.correlation import Mapping as Fit
from saliency_engine.numerics.correlation import interval_of
from saliency_engine.numerics.resampling import Resamples

Interval = tuple[float, float]
_RESAMPLES = 1000
_FEWEST_TO_MAP = 10
"""A logistic has four parameters: through a few clips it goes exactly, whatever the signal."""


@dataclass(frozen=True)
class Estimate:
    """A statistic and its 95% interval; NaN where there is none."""

    value: float
    interval: Interval


@dataclass(frozen=True)
class Prediction:
    """One signal of one side against the label, on the clips that all sides share."""

    side: int
    signal: str
    plcc: Estimate
    """Pearson's correlation after the mapping, which makes it positive; NaN where there is none, as for ``rmse``."""
    srocc: Estimate
    krcc: Estimate
    rmse: Estimate
    """After the mapping, in the label's unit."""
    plcc_unmapped: float
    gain: Estimate | None
    """|SROCC| minus that of the same signal of the first side, paired; ``None`` for the first side."""
    partial: Estimate | None
    """Partial correlation with the label given the features; ``None`` without features."""
    fit: Fit
    values: Numbers
    """``[clips]``: the signal itself, for charts."""


@dataclass(frozen=True)
class Target:
    """The label, and what predicts it."""

    name: str
    clips: NDArray[np.int64]
    """The places of the clips that have a label and every signal of every side."""
    labels: Numbers
    """``[clips]``: theirs."""
    labelled: int
    """Clips that have a label."""
    contents: int
    given: tuple[str, ...]
    """The features of the partial correlations."""
    given_clips: int
    """How many of ``clips`` have all of them."""
    resamples: int
    predictions: tuple[Prediction, ...]

    @property
    def best(self) -> Prediction:
        """The one with the largest |SROCC|."""
        return max(self.predictions, key=lambda one: np.nan_to_num(abs(one.srocc.value), nan=-1.0))


def predict_target(
    sides: Sequence[Side],
    tables: Sequence[KeyedTable],
    labels: Sequence[KeyedTable],
    target: str,
    *,
    keys: Sequence[str],
    given: Sequence[str],
    content: str,
) -> Target:
    """Statistics of all signals that every side has; ``keys`` are the clips'.

    The label ``target`` is taken from ``labels``, or from the tables where there are none; features whose names fit a
    pattern of ``given`` (empty: VMAF's own, as far as there are any) and the column ``content`` from either. Without it
    the column is ``content``, and where there is none, each clip is a content of its own. Raises ``InputError`` where a
    label contradicts another, or no clip has all that is needed.
    """
    known = find_labels(labels or tables, target, keys)
    names = [name for name in sides[0].signals if all(name in side.signals for side in sides)]
    signals = [(place, name, side.signals[name]) for place, side in enumerate(sides) for name in names]
    complete = np.isfinite(known) & np.all([np.isfinite(values) for _, _, values in signals], axis=0)
    chosen = np.flatnonzero(complete)
    if not len(chosen):
        raise InputError(explain_no_clip(known, sides, keys, target))
    sources = [*tables, *labels]
    features = find_features(sources, given, len(keys), exclude={target})
    contents = find_contents(sources, content, len(keys))[chosen]
    predictor = _Predictor(known[chosen], contents, [values[chosen] for _, values in features])
    predictions = predictor.measure([(place, name, values[chosen]) for place, name, values in signals])
    return Target(
        target,
        chosen,
        known[chosen],
        int(np.isfinite(known).sum()),
        len(np.unique(contents)),
        tuple(name for name, _ in features),
        int(predictor.complete.sum()) if features else 0,
        _RESAMPLES,
        tuple(predictions),
    )


class _Predictor:
    """Statistics of signals ``[n]`` against ``labels`` ``[n]``, all on the same resamples of ``contents`` ``[n]``."""

    def __init__(self, labels: Numbers, contents: NDArray[np.int64], features: Sequence[Numbers]) -> None:
        self._labels, self._contents = labels, contents
        self._given = np.column_stack(features) if features else None
        self.complete = np.ones(len(labels), bool) if self._given is None else np.isfinite(self._given).all(axis=1)

    def measure(self, signals: Sequence[tuple[int, str, Numbers]]) -> list[Prediction]:
        """A prediction for each signal: its side, its name, its values."""
        resamples, labels = Resamples(self._contents, _RESAMPLES), self._labels
        partials = self._measure_partials([values for _, _, values in signals])
        first: dict[str, tuple[float, Numbers]] = {}
        predictions = []
        for place, (side, name, values) in enumerate(signals):
            fit, mapped, error = self._map(values, resamples)
            spearman, kendall = resamples.rank_correlations(values, labels)
            srocc = correlation.srocc(values, labels)
            gain = None
            if name in first:
                value, other = first[name]
                gain = Estimate(abs(srocc) - abs(value), interval_of(np.abs(spearman) - np.abs(other)))
            first.setdefault(name, (srocc, spearman))
            predictions.append(
                Prediction(
                    side,
                    name,
                    plcc=mapped,
                    srocc=Estimate(srocc, interval_of(spearman)),
                    krcc=Estimate(correlation.krcc(values, labels), interval_of(kendall)),
                    rmse=error,
                    plcc_unmapped=correlation.plcc(values, labels),
                    gain=gain,
                    partial=partials[place] if partials else None,
                    fit=fit,
                    values=values,
                )
            )
        return predictions

    def _map(self, values: Numbers, resamples: Resamples) -> tuple[Fit, Estimate, Estimate]:
        """The mapping of ``values`` to the labels, with PLCC and RMSE after it; none where nothing can be fitted."""
        labels = self._labels
        if len(labels) < _FEWEST_TO_MAP or not np.ptp(labels):
            nothing = Estimate(np.nan, (np.nan, np.nan))
            return Fit(np.full(len(labels), np.nan), "none", ()), nothing, nothing
        fit = correlation.fit_logistic(values, labels)
        return (
            fit,
            Estimate(correlation.plcc(fit.values, labels), interval_of(resamples.plcc(fit.values, labels))),
            Estimate(correlation.rmse(fit.values, labels), interval_of(resamples.rmse(fit.values, labels))),
        )

    def _measure_partials(self, signals: Sequence[Numbers]) -> list[Estimate]:
        if self._given is None:
            return []
        rows, labels, given = self.complete, self._labels[self.complete], self._given[self.complete]
        resamples = Resamples(self._contents[rows], _RESAMPLES)
        return [
            Estimate(
                correlation.partial_correlation(values[rows], labels, given),
                interval_of(resamples.partial_correlation(values[rows], labels, given)),
            )
            for values in signals
        ]
