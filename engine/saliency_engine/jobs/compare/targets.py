"""How well each signal predicts a label: correlations, errors and their intervals over contents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import numpy as np
from numpy.typing import NDArray

from saliency_engine.errors import InputError
from saliency_engine.jobs.compare.sides import KeyedTable, Numbers, Side, pool
from saliency_engine.numerics import correlation
from saliency_engine.numerics.correlation import Mapping as Fit
from saliency_engine.numerics.correlation import interval_of
from saliency_engine.numerics.resampling import Resamples

Interval = tuple[float, float]
_SAME = 1e-9
_RESAMPLES = 1000


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
    """Pearson's correlation after the mapping, which makes it positive."""
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
    pattern of ``given`` and the column ``content`` from either. Without it each clip is a content of its own. Raises
    ``InputError`` where a label contradicts another, or no clip has all that is needed.
    """
    known = _find_labels(labels or tables, target, keys)
    names = [name for name in sides[0].signals if all(name in side.signals for side in sides)]
    signals = [(place, name, side.signals[name]) for place, side in enumerate(sides) for name in names]
    complete = np.isfinite(known) & np.all([np.isfinite(values) for _, _, values in signals], axis=0)
    chosen = np.flatnonzero(complete)
    if not len(chosen):
        raise InputError(_explain_no_clip(known, sides, keys, target))
    sources = [*tables, *labels]
    features = _find_features(sources, given, len(keys), exclude={target})
    contents = _find_contents(sources, content, len(keys))[chosen]
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
            fit = correlation.fit_logistic(values, labels)
            linear, errors = resamples.plcc(fit.values, labels), resamples.rmse(fit.values, labels)
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
                    plcc=Estimate(correlation.plcc(fit.values, labels), interval_of(linear)),
                    srocc=Estimate(srocc, interval_of(spearman)),
                    krcc=Estimate(correlation.krcc(values, labels), interval_of(kendall)),
                    rmse=Estimate(correlation.rmse(fit.values, labels), interval_of(errors)),
                    plcc_unmapped=correlation.plcc(values, labels),
                    gain=gain,
                    partial=partials[place] if partials else None,
                    fit=fit,
                    values=values,
                )
            )
        return predictions

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


def _find_labels(tables: Sequence[KeyedTable], target: str, keys: Sequence[str]) -> Numbers:
    """``[clips]``: the label of each clip, NaN where it has none."""
    known, sources = np.full(len(keys), np.nan), np.full(len(keys), "", object)
    having = [table for table in tables if target in table.whole.names]
    if not having:
        columns = ", ".join(repr(name) for table in tables for name in table.whole.names)
        raise InputError(f"no table has a column {target!r} (--target); the columns are {columns}")
    for table in having:
        values = table.whole.numbers(target)
        usable = np.isfinite(values) & (table.codes >= 0)
        for code, value in zip(table.codes[usable].tolist(), values[usable].tolist(), strict=True):
            if not np.isnan(known[code]) and abs(known[code] - value) > _SAME * max(1.0, abs(value)):
                raise InputError(
                    f"the clip {keys[code]!r} has two labels: {known[code]:g} in {sources[code]} and {value:g} in "
                    f"{table.path}: remove one, or make the keys distinct with --key and --key-normalize"
                )
            known[code], sources[code] = value, table.path
    return known


def _find_features(
    tables: Sequence[KeyedTable], patterns: Sequence[str], clips: int, exclude: set[str]
) -> list[tuple[str, Numbers]]:
    """Columns whose names fit one of ``patterns``, with a number for each clip from whichever table has it."""
    features: dict[str, Numbers] = {}
    for table in tables:
        for name in table.whole.names:
            fits = any(fnmatchcase(name, pattern) for pattern in patterns) and name not in exclude
            if fits and table.whole.holds_numbers(name):
                values = pool(table.whole.numbers(name), table.codes, clips)
                former = features.get(name, values)
                features[name] = np.where(np.isfinite(former), former, values)
    return list(features.items())


def _find_contents(tables: Sequence[KeyedTable], column: str, clips: int) -> NDArray[np.int64]:
    """``[clips]``: the content of each clip as a number; a clip of which none is known is one of its own."""
    contents = np.arange(clips)
    if not column:
        return contents
    having = [table for table in tables if column in table.whole.names]
    if not having:
        raise InputError(f"no table has a column {column!r} (--content)")
    names: dict[str, int] = {}
    for table in having:
        for code, text in zip(table.codes.tolist(), table.whole.texts(column), strict=True):
            if code >= 0 and text is not None:
                contents[code] = names.setdefault(text, clips + len(names))
    return contents


def _explain_no_clip(known: Numbers, sides: Sequence[Side], keys: Sequence[str], target: str) -> str:
    having = np.isfinite(sides[0].signals["mean"])
    labelled = np.flatnonzero(np.isfinite(known))
    counts: Mapping[str, int] = {side.table: side.clips for side in sides}
    clips = ", ".join(f"{count} in {table}" for table, count in counts.items())
    key = repr(keys[np.flatnonzero(having)[0]]) if having.any() else "none"
    other = repr(keys[labelled[0]]) if len(labelled) else "none"
    return (
        f"no clip has both a label {target!r} and numbers in every table: clips with numbers are {clips}, with labels "
        f"{len(labelled)}. A key of the first kind is {key}, of the second {other}: if they name the same clips, make "
        "them alike with --key, --label-key and --key-normalize"
    )
