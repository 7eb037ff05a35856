"""The clips of several tables as one: columns side by side, joined by key, with one label each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from saliency_engine.errors import InputError
from saliency_engine.jobs.mos_prep.clips import Clips, Units
from saliency_engine.tables.keys import NORMALIZATIONS, normalize_keys
from saliency_engine.tables.labels import Labels
from saliency_engine.tags import Tags, unite_tags

_SALIENCY = ("saliency_mean", "saliency_var")
_SAME = 1e-6
"""Numbers of one clip in two tables differ by no more than this share, where one of them is float32."""


@dataclass(frozen=True)
class Gathered:
    """Clips with their features, ``[n]`` in every column."""

    keys: NDArray[np.object_]
    tags: list[Tags]
    numbers: dict[str, NDArray[np.float64]]
    """NaN where no table says anything."""
    texts: dict[str, NDArray[np.object_]]
    dropped: Counter[str] = field(default_factory=Counter)
    """Why rows of the tables, and clips that they had together, are not among these."""

    def take(self, rows: NDArray[np.int64], reason: str) -> Gathered:
        """The clips ``rows``; the others are dropped for ``reason``."""
        gone = len(self.keys) - len(rows)
        return Gathered(
            self.keys[rows],
            [self.tags[row] for row in rows],
            {name: values[rows] for name, values in self.numbers.items()},
            {name: values[rows] for name, values in self.texts.items()},
            self.dropped + Counter({reason: gone}),
        )


def gather(tables: Sequence[Clips], *, allow_mixed: bool) -> Gathered:
    """The clips of ``tables`` with the columns of all of them; those that lack saliency which others have are dropped.

    A table without tags, as of VMAF's features, belongs to all clips of its keys. Raises ``InputError`` where saliency
    of several models, aggregators, alphas or samplings would stand in one column (unless ``allow_mixed``), and where
    two tables have different numbers for one clip.
    """
    if not allow_mixed:
        _refuse_mixture(tables)
    united = unite_tags(tags for table in tables for tags in table.tags if tags != Tags())
    tables = [replace(table, tags=[united.get(tags, tags) for tags in table.tags]) for table in tables]
    units = _unite(tables, separate=allow_mixed)
    gathered = Gathered(
        np.array([key for key, _ in units], object),
        [tags for _, tags in units],
        {},
        {},
        sum((table.dropped for table in tables), Counter[str]()),
    )
    for table in tables:
        _add_columns(gathered, table, units)
    present = [gathered.numbers[name] for name in _SALIENCY if name in gathered.numbers]
    if present:
        kept = np.flatnonzero(np.all(np.isfinite(present), axis=0))
        gathered = gathered.take(kept, "without saliency")
    return gathered


def _refuse_mixture(tables: Sequence[Clips]) -> None:
    counts = Counter[Tags]()
    for table in tables:
        counts.update(table.tags)
    for first, second in combinations(counts, 2):
        if first.contradictions(second):
            kinds = "; ".join(f"{tags.kind} ({count} clips)" for tags, count in counts.items() if tags != Tags())
            raise InputError(
                f"saliency of several kinds would stand in one column: {kinds}. Prepare a table of each, or give "
                "--allow-mixed for a column that tells which"
            )


def _unite(tables: Sequence[Clips], *, separate: bool) -> Units:
    """The distinct clips of all tables, in order; ``separate``: those of each kind of saliency by themselves.

    Otherwise a clip has the tags of the first table that has any.
    """
    tagged = [table for table in tables if any(tags != Tags() for tags in table.tags)]
    if separate and tagged:
        units = dict.fromkeys((key, tags) for table in tagged for key, tags in zip(table.keys, table.tags, strict=True))
        return list(units)
    known: dict[str, Tags] = {}
    for table in (*tagged, *tables):
        for key, tags in zip(table.keys, table.tags, strict=True):
            if known.get(key, Tags()) == Tags():
                known[key] = tags
    return list(known.items())


def _add_columns(gathered: Gathered, table: Clips, units: Units) -> None:
    """Fill what ``table`` says into ``gathered``, whose clips are ``units``."""
    by_unit = {unit: row for row, unit in enumerate(zip(table.keys, table.tags, strict=True))}
    by_key = {key: row for row, key in enumerate(table.keys) if table.tags[row] == Tags()}
    rows = np.array([by_unit.get(unit, by_key.get(unit[0], -1)) for unit in units], np.int64)
    places = np.flatnonzero(rows >= 0)
    for name, values in table.numbers.items():
        column = gathered.numbers.setdefault(name, np.full(len(units), np.nan))
        own = values[rows[places]]
        _refuse_difference(name, column[places], own, gathered.keys[places], table.name)
        column[places] = np.where(np.isnan(column[places]), own, column[places])
    for name, texts in table.texts.items():
        present = gathered.texts.setdefault(name, np.full(len(units), None, object))
        for place in places:
            if present[place] is None:
                present[place] = texts[rows[place]]


def _refuse_difference(
    name: str, column: NDArray[np.float64], own: NDArray[np.float64], keys: NDArray[np.object_], table: str
) -> None:
    different = np.flatnonzero(np.abs(column - own) > _SAME * np.maximum(np.abs(column), np.abs(own)))
    if len(different):
        first = different[0]
        raise InputError(
            f"{table}: {len(different)} clips have another {name} here than in a table before it, the first of them "
            f"{keys[first]!r}: {own[first]:g} and {column[first]:g}. Give the table that is meant, or rename the column"
        )


def label(gathered: Gathered, labels: Labels, min_match_rate: float) -> tuple[Gathered, NDArray[np.int64]]:
    """The clips that have a label, and the place of each one's label in ``labels``.

    Raises ``InputError`` where fewer than ``min_match_rate`` of the keys have a score there.
    """
    places = {key: place for place, key in enumerate(labels.keys)}
    matches = np.array([places.get(key, -1) for key in gathered.keys], np.int64)
    keys = dict.fromkeys(gathered.keys)
    matching = sum(key in places for key in keys)
    scored = sum(key in places and not np.isnan(labels.mos[places[key]]) for key in keys)
    if matching < min_match_rate * len(keys):
        raise InputError(_describe_mismatch(list(keys), labels, matching, min_match_rate))
    if scored < min_match_rate * len(keys):
        raise InputError(
            f"{scored} of {len(keys)} clips have a score, which is less than --min-match-rate {min_match_rate:g}: the "
            f"labels of {matching - scored} have none{_describe_strange(labels)}. Correct them, or lower the rate"
        )
    rows = np.flatnonzero(matches >= 0)
    gathered, matches = gathered.take(rows, "without a label"), matches[rows]
    rows = np.flatnonzero(~labels.strange[matches] | ~np.isnan(labels.mos[matches]))
    gathered, matches = gathered.take(rows, "with a label that is no number"), matches[rows]
    rows = np.flatnonzero(~np.isnan(labels.mos[matches]))
    return gathered.take(rows, "with a null label"), matches[rows]


def _describe_strange(labels: Labels) -> str:
    firsts = [f"{table.path} has {table.first_no_number}" for table in labels.tables if table.no_numbers]
    return f" ({firsts[0]})" if firsts else ""


def _describe_mismatch(keys: Sequence[str], labels: Labels, matching: int, least: float) -> str:
    message = f"{matching} of {len(keys)} clips have a label, which is less than --min-match-rate {least:g}"
    if len(labels.keys):
        message += f". Clips are called {keys[0]!r} here and {labels.keys[0]!r} in {labels.source[0]}"
    for how in NORMALIZATIONS[2:]:
        own, theirs = (set(normalize_keys(np.array(list(names), object), "", how)) for names in (keys, labels.keys))
        alike = len((own & theirs) - {None})
        if alike > matching:
            return f"{message}. With --key-normalize {how} {alike} would match"
    return f"{message}. Give --key-normalize, --feature-key-regex or --label-key-regex"
