"""A comparison in words and in tables on the terminal. It is the document that ``jobs.compare`` makes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from saliency_engine.report.html import count, interval, number, signed
from saliency_engine.report.terminal import printable

Document = Mapping[str, Any]
_MOST_LINES = 10
_FEWEST_CLIPS = 10
"""Of fewer, resamples are mostly a few clips again and again, and an interval says nothing."""


def headline_of(document: Document) -> str:
    """What the comparison shows, in one sentence."""
    if document["target"]:
        return _headline_of_target(document["target"])
    pairs = document["pairs"]
    if not pairs:
        side = document["sides"][0]
        return f"{count(side['clips'])} of {count(document['clips'])} clips have saliency"
    means = [pair["signals"][0] for pair in pairs]
    known = [one["srocc"] for one in means if one["srocc"] is not None]
    if not known:
        return "There is nothing to compare: no two settings have different numbers for the same clips"
    if len(pairs) == 1:
        names = f"{pairs[0]['first']} and {pairs[0]['second']}"
        return f"Spearman {number(known[0])} between {names} on {count(means[0]['clips'])} clips"
    return f"Spearman from {number(min(known))} to {number(max(known))} between {len(document['sides'])} settings"


def notes_of(document: Document) -> list[str]:
    """What a reader has to know to take the numbers for what they are."""
    return [*_notes_on_sides(document), *(_notes_on_target(document["target"]) if document["target"] else ())]


def name_of(signal: Mapping[str, Any]) -> str:
    """Signal and side of one of the document's predictions."""
    return " of ".join(filter(None, (signal["signal"], signal["side"])))


def print_comparison(document: Document) -> None:
    """Print a comparison on stdout: the headline, the sides, pairs of them, the label, what is to be known."""
    console = Console(width=None if Console().is_terminal else 160)
    console.print(Text(printable(headline_of(document)), style="bold"))
    console.print(_to_grid(["", "table", "model", "aggregator", "sampling", "clips", "no number", "absent"], 5,
                           map(_row_of_side, document["sides"])))  # fmt: skip
    if document["pairs"]:
        head = ["first", "second", "signal", "clips", "Pearson", "Spearman", "mean Δ", "mean |Δ|", "largest |Δ|"]
        console.print(_to_grid(head, 3, _rows_of_pairs(document)))
        if disagreements := list(_rows_of_disagreements(document)):
            console.print(_to_grid(["first", "second", "in the first", "in the second", "clips"], 4, disagreements))
    if target := document["target"]:
        head = ["", "signal", "SROCC", "", "PLCC", "", "KRCC", "", "RMSE", "", "partial", ""]
        console.print(_to_grid(head, 2, map(_row_of_prediction, target["signals"])))
    for note in notes_of(document):
        console.print(Text(printable(note)))


def describe_aggregator(side: Mapping[str, Any]) -> str:
    """The aggregator of a side, with its alpha."""
    alpha = side["ema_alpha"]
    return (side["aggregator"] or "") + (f" {alpha:g}" if alpha is not None else "")


def _headline_of_target(target: Mapping[str, Any]) -> str:
    clips, name = target["clips"], target["name"]
    if target["distinct_labels"] == 1 and clips > 1:
        return f"Nothing can go with {name}: the scores of all {count(clips)} clips are one number"
    if clips < _FEWEST_CLIPS:
        return f"Too few clips to show what goes with {name}: {clips} of the {_FEWEST_CLIPS} that this takes"
    best = next(
        one
        for one in target["signals"]
        if (one["side"], one["signal"]) == (target["best"]["side"], target["best"]["signal"])
    )
    if best["srocc"]["value"] is None:
        return f"Nothing can go with {name}: every signal is one number on all {count(clips)} clips"
    srocc, ends = best["srocc"]["value"], best["srocc"]["interval"]
    figures = f"SROCC {number(srocc)} {written_interval(best['srocc'])} on {count(target['clips'])} clips"
    if None in ends or ends[0] <= 0 <= ends[1]:
        return f"No signal is shown to go with {target['name']}: the nearest, {name_of(best)}, has {figures}"
    return f"{name_of(best)} goes with {target['name']}: {figures}"


def written_interval(estimate: Mapping[str, Any] | None) -> str:
    """The interval of an estimate of the document; empty where there is none."""
    if estimate is None or None in estimate["interval"]:
        return ""
    return interval(tuple(estimate["interval"]))


def _notes_on_sides(document: Document) -> Iterator[str]:
    for table in document["tables"]:
        own = [side for side in document["sides"] if side["table"] == table["path"]]
        prefixes = {side["prefix"] for side in own}
        if len(own) > len(prefixes):
            yield f"{table['path']} holds rows of {len(own)} settings; each is compared on its own"
        if table["rows_without_key"]:
            yield f"{table['path']}: {count(table['rows_without_key'])} rows have no key and take no part"
        if any(side["pooled"] for side in own):
            yield f"{table['path']} has several rows for a clip: their mean stands for it"


def _notes_on_target(target: Mapping[str, Any]) -> Iterator[str]:
    clips, labelled = target["clips"], target["labelled"]
    yield (
        f"{count(clips)} of {count(labelled)} clips with a label have numbers on every side; the statistics of "
        f"{target['name']} are of these. PLCC and RMSE are those after a logistic mapping, in brackets are 95% "
        f"intervals over {count(target['resamples'])} resamples of {count(target['contents'])} contents"
    )
    if target["distinct_labels"] == 1 and clips > 1:
        yield f"there are no statistics of {target['name']}, because its scores are one number"
    elif target["signals"][0]["mapping"]["form"] == "none":
        yield (
            f"there is no PLCC and no RMSE: the logistic has four parameters, and {clips} of the {_FEWEST_CLIPS} clips "
            "that this takes have a label and numbers"
        )
    if linear := [name_of(one) for one in target["signals"] if one["mapping"]["form"] == "linear"]:
        yield f"a straight line is the mapping where the logistic fits no better: {', '.join(linear)}"
    if target["given"]:
        of = "" if target["given_clips"] == clips else f", on the {count(target['given_clips'])} clips that have them"
        yield f"partial correlations are given {', '.join(target['given'])}{of}"
    if len(target["signals"]) > 1:
        yield (
            f"the headline names the largest of {len(target['signals'])} correlations; an interval is that of one "
            "signal by itself"
        )


def _row_of_side(side: Mapping[str, Any]) -> list[str]:
    failed = ", ".join(f"{count(n)} {status}" for status, n in side["statuses"].items())
    setting = [side["model_id"] or "", describe_aggregator(side), side["sampling"] or ""]
    return [side["name"], side["table"], *setting, count(side["clips"]), failed or "0", count(side["absent"])]


def _rows_of_pairs(document: Document) -> Iterator[list[str]]:
    for pair in document["pairs"]:
        for one in pair["signals"]:
            correlations = [number(one["plcc"], 4), number(one["srocc"], 4)]
            deltas = [signed(one["delta_mean"], 5), number(one["delta_abs_mean"], 5), number(one["delta_abs_max"], 5)]
            yield [pair["first"], pair["second"], one["signal"], count(one["clips"]), *correlations, *deltas]


def _rows_of_disagreements(document: Document) -> Iterator[list[str]]:
    for pair in document["pairs"]:
        for one in pair["status_disagreements"][:_MOST_LINES]:
            yield [pair["first"], pair["second"], one["first"], one["second"], count(one["clips"])]


def _row_of_prediction(one: Mapping[str, Any]) -> list[str]:
    cells = [one["side"], one["signal"]]
    for name in ("srocc", "plcc", "krcc", "rmse", "partial"):
        cells += [number(one[name]["value"]) if one[name] else "", written_interval(one[name])]
    return cells


def _to_grid(head: Sequence[str], texts: int, rows: Iterator[list[str]] | Sequence[list[str]] | Any) -> Table:
    """A table whose first ``texts`` columns are text, the others numbers."""
    grid = Table(*(Column(name, justify="left" if place < texts else "right") for place, name in enumerate(head)))
    for row in rows:
        grid.add_row(*(Text(printable(cell)) for cell in row))
    return grid
