"""A comparison as a page: the document that ``jobs.compare`` makes, with charts and the clips that differ most."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from saliency_engine.report.charts import SERIES, Estimate, draw_histogram, draw_intervals, draw_mapping, draw_scatter
from saliency_engine.report.comparison_text import describe_aggregator, headline_of, name_of, notes_of, written_interval
from saliency_engine.report.contact_sheet import Tile
from saliency_engine.report.html import Thumbnail, number, render_page, thumbnail_of

Numbers = NDArray[np.float64]
_MOST_SIGNALS, _MOST_SCATTERS, _MOST_MAPPINGS = 6, 6, 6
"""Charts of a kind: a page stays below 2 MB, and nobody looks at fifty of them."""


@dataclass(frozen=True)
class LargeDifference:
    """A clip that the sides see differently."""

    entry: Mapping[str, Any]
    """Of the document's ``largest_differences``."""
    tiles: Sequence[tuple[int, Tile | None]]
    """The clip as the sides of these places see it; ``None`` where it cannot be drawn."""


@dataclass(frozen=True)
class Drawn:
    """What charts need beside the document."""

    signals: Sequence[Mapping[str, Numbers]]
    """For each side its signals, ``[clips]`` with NaN."""
    labels: Numbers
    """``[labelled clips]``, as ``values`` and ``mapped`` of each of the document's predictions."""
    values: Sequence[Numbers]
    mapped: Sequence[Numbers]
    series: Sequence[int]
    """The side of each prediction."""
    differences: Sequence[LargeDifference]


def draw_comparison(document: Mapping[str, Any], drawn: Drawn) -> str:
    """The page, as HTML."""
    headline = headline_of(document)
    return render_page(
        "compare.html",
        title=headline,
        document=document,
        notes=notes_of(document),
        aggregator=describe_aggregator,
        distributions=_draw_distributions(document, drawn),
        scatters=_draw_scatters(document, drawn),
        predictions=_draw_predictions(document, drawn) if document["target"] else None,
        written_interval=written_interval,
        differences=[_describe_difference(one, document) for one in drawn.differences],
    )


def _draw_distributions(document: Mapping[str, Any], drawn: Drawn) -> list[Any]:
    sides = range(min(len(drawn.signals), SERIES))
    names = [document["sides"][side]["name"] for side in sides]
    signals = dict.fromkeys(name for side in sides for name in drawn.signals[side])
    charts = []
    for signal in list(signals)[:_MOST_SIGNALS]:
        series = [drawn.signals[side].get(signal, np.array([])) for side in sides]
        charts.append(draw_histogram(series, signal, names if len(names) > 1 else ()))
    return charts


def _draw_scatters(document: Mapping[str, Any], drawn: Drawn) -> list[tuple[Any, str]]:
    """``mean`` of the first side against that of each other, and of two sides alone their variances, too."""
    charts = []
    sides = document["sides"]
    for place in range(1, min(len(sides), _MOST_SCATTERS + 1)):
        for signal in ("mean", "var") if len(sides) == 2 else ("mean",):
            a, b = (drawn.signals[side].get(signal, np.array([])) for side in (0, place))
            if len(a) != len(b):
                continue
            both = np.isfinite(a) & np.isfinite(b)
            names = (f"{signal} of {sides[0]['name']}", f"{signal} of {sides[place]['name']}")
            caption = f"{both.sum():,} clips; dashed: equal"
            charts.append((draw_scatter(a[both], b[both], names, diagonal=True, series=place), caption))
    return charts


def _draw_predictions(document: Mapping[str, Any], drawn: Drawn) -> dict[str, Any]:
    target = document["target"]
    rows = target["signals"]
    labels = [name_of(one) for one in rows]

    def chart(statistic: str, name: str) -> Any:
        known = [(one, one[statistic], side) for one, side in zip(rows, drawn.series, strict=True) if one[statistic]]
        estimates = [_to_estimate(one, of, side) for one, of, side in known if of["value"] is not None]
        return draw_intervals(estimates, name) if estimates else None

    order = sorted(range(len(rows)), key=lambda place: -abs(rows[place]["srocc"]["value"] or 0.0))[:_MOST_MAPPINGS]
    return {
        "srocc": chart("srocc", f"SROCC with {target['name']}"),
        "partial": chart("partial", f"partial correlation with {target['name']}"),
        "gain": chart("srocc_gain_over_first", f"|SROCC| more than {document['sides'][0]['name']}"),
        "mappings": [
            (
                draw_mapping(
                    drawn.values[place], drawn.labels, drawn.mapped[place], (labels[place], target["name"]),
                    series=drawn.series[place],
                ),
                f"{labels[place]}: SROCC {number(rows[place]['srocc']['value'])}, "
                + _describe_line(rows[place]["mapping"]["form"]),
            )
            for place in order
        ],
    }  # fmt: skip


def _describe_line(form: str) -> str:
    return "without a line, as there is nothing to fit one to" if form == "none" else f"the line is the {form} fit"


def _to_estimate(prediction: Mapping[str, Any], one: Mapping[str, Any], side: int) -> Estimate:
    low, high = (np.nan if end is None else end for end in one["interval"])
    label = tuple(filter(None, (prediction["signal"], prediction["side"])))
    return Estimate(label, one["value"], low, high, side)


def _describe_difference(
    one: LargeDifference, document: Mapping[str, Any]
) -> tuple[Mapping[str, Any], list[Thumbnail]]:
    thumbnails = []
    for place, tile in one.tiles:
        name = document["sides"][place]["name"]
        if tile is not None:
            thumbnails.append(thumbnail_of(tile, name, f"mean {number(one.entry['means'][name], 4)}", tile.settings))
    return one.entry, thumbnails
