"""A comparison as JSON values, for the file, the terminal and the page."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from saliency_engine.jobs.compare.pairs import Pair, spread_of
from saliency_engine.jobs.compare.sides import ABSENT, KeyedTable, Side
from saliency_engine.jobs.compare.targets import Estimate, Prediction, Target
from saliency_engine.types import Status

SCHEMA = "saliency-compare-v1"


@dataclass(frozen=True)
class Comparison:
    """What was computed, before it is told."""

    tables: Sequence[KeyedTable]
    keys: Sequence[str]
    """The clips'."""
    sides: Sequence[Side]
    names: Sequence[str]
    """Those of the sides."""
    pairs: Sequence[Pair]
    target: Target | None


def describe_comparison(of: Comparison, differences: int) -> dict[str, Any]:
    """All but the provenance; NaN is ``None``. So many of the largest ``differences`` are listed."""
    names = of.names
    document: dict[str, Any] = clean(
        {
            "schema": SCHEMA,
            "clips": len(of.keys),
            "tables": [
                {
                    "path": table.path,
                    "rows": table.whole.rows,
                    "key_column": table.key_column,
                    "rows_without_key": table.rows_without_key,
                }
                for table in of.tables
            ],
            "sides": [_describe_side(side, name) for side, name in zip(of.sides, names, strict=True)],
            "pairs": [_describe_pair(pair, names) for pair in of.pairs],
            "target": _describe_target(of.target, names) if of.target else None,
            "largest_differences": _list_differences(of.sides, names, of.keys, differences),
        }
    )
    return document


def clean(value: Any) -> Any:
    """``value`` with ``None`` for every number that is not finite, since JSON has none of these."""
    match value:
        case dict():
            return {key: clean(one) for key, one in value.items()}
        case list() | tuple():
            return [clean(one) for one in value]
        case float() if not math.isfinite(value):
            return None
    return value


def _describe_side(side: Side, name: str) -> dict[str, Any]:
    statuses = Counter(side.statuses.tolist())
    finite = {signal: values[np.isfinite(values)] for signal, values in side.signals.items()}
    clips = side.clips
    return {
        "name": name,
        "table": side.table,
        "prefix": side.prefix,
        **asdict(side.tags),
        "rows": side.rows,
        "clips": clips,
        "pooled": side.rows > clips,
        "statuses": {status: count for status, count in statuses.most_common() if status not in {Status.OK, ABSENT}},
        "absent": statuses[ABSENT],
        "signals": {
            signal: {
                "clips": len(values),
                "mean": float(values.mean()) if len(values) else None,
                "std": float(values.std()) if len(values) else None,
                "min": float(values.min()) if len(values) else None,
                "max": float(values.max()) if len(values) else None,
            }
            for signal, values in finite.items()
        },
    }


def _describe_pair(pair: Pair, names: Sequence[str]) -> dict[str, Any]:
    return {
        "first": names[pair.first],
        "second": names[pair.second],
        "only_first": pair.only_first,
        "only_second": pair.only_second,
        "status_disagreements": [
            {"first": one, "second": other, "clips": count} for one, other, count in pair.disagreements
        ],
        "signals": [asdict(agreement) for agreement in pair.agreements],
    }


def _describe_target(target: Target, names: Sequence[str]) -> dict[str, Any]:
    best = target.best
    return {
        "name": target.name,
        "clips": len(target.clips),
        "labelled": target.labelled,
        "distinct_labels": len(np.unique(target.labels)),
        "contents": target.contents,
        "given": target.given,
        "given_clips": target.given_clips,
        "resamples": target.resamples,
        "best": {"side": names[best.side], "signal": best.signal},
        "signals": [_describe_prediction(one, names) for one in target.predictions],
    }


def _describe_prediction(one: Prediction, names: Sequence[str]) -> dict[str, Any]:
    estimates = {
        name: _describe_estimate(getattr(one, name)) for name in ("plcc", "srocc", "krcc", "rmse", "gain", "partial")
    }
    gain = estimates.pop("gain")
    return {
        "side": names[one.side],
        "signal": one.signal,
        **estimates,
        "plcc_unmapped": one.plcc_unmapped,
        "srocc_gain_over_first": gain,
        "mapping": {"form": one.fit.form, "parameters": one.fit.parameters},
    }


def _describe_estimate(estimate: Estimate | None) -> dict[str, Any] | None:
    return None if estimate is None else {"value": estimate.value, "interval": estimate.interval}


def _list_differences(
    sides: Sequence[Side], names: Sequence[str], keys: Sequence[str], most: int
) -> list[dict[str, Any]]:
    spread = spread_of(sides)
    order = np.argsort(np.nan_to_num(-spread, nan=1.0), kind="stable")[:most]
    return [
        {
            "key": keys[clip],
            "spread": float(spread[clip]),
            "means": {name: float(side.signals["mean"][clip]) for side, name in zip(sides, names, strict=True)},
        }
        for clip in order.tolist()
        if spread[clip] > 0
    ]
