"""Mean opinion scores from tables of their own: read, brought to one scale, one label a key."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import isnan
from typing import Any

import numpy as np
from numpy.typing import NDArray

from saliency_engine.errors import ConfigError, InputError
from saliency_engine.tables.keys import first_key_column, normalize_keys
from saliency_engine.tables.scores import Scores, read_scores
from saliency_engine.tables.selection import MOS_COLUMNS
from saliency_engine.tables.whole import Whole, read_whole

MORE_COLUMNS = ("mos_std_dev", "mos_n_ratings", "split", "corpus", "corpus_version")
"""What else a table of labels may say of a clip; the first two are numbers, the others text."""
CHUG_CONTENT = "chug_content_name"
CONTENT_COLUMNS = ("content", CHUG_CONTENT, "content_name", "content_id")
"""Columns that name what a clip shows, the likeliest first; versions of one content never part."""
_NUMBERS = ("mos_std_dev", "mos_n_ratings")
_OF_RAW = ("mos_raw_0_100",)
_FEWEST = 3
_SAME = 1e-9
_Columns = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class LabelTable:
    """What was read from one table of labels."""

    path: str
    key_column: str
    mos_column: str
    scale: tuple[float, float]
    """The lowest and the highest score that raters could give."""
    scale_reason: str
    """Why it is taken for that scale, for people."""
    rows: int
    nulls: int
    """Rows without a label."""
    without_key: int
    no_numbers: int = 0
    """Rows whose label is there and no number."""
    first_no_number: str = ""
    """The first of these and its row, for people."""
    content_column: str = ""
    """The column that says what a clip shows; empty where there is none."""


@dataclass(frozen=True)
class Labels:
    """One label for each key, from all tables together."""

    keys: NDArray[np.object_]
    """``[n]`` text, all different."""
    mos: NDArray[np.float64]
    """``[n]`` in [1, 5]; NaN where no row of the key has a number."""
    mos_raw_0_100: NDArray[np.float64]
    """``[n]``: the same labels in [0, 100]."""
    source: NDArray[np.object_]
    """``[n]``: the path of the table that the label is from."""
    strange: NDArray[np.bool_]
    """``[n]``: whether the key has a label that is no number."""
    more: _Columns = field(default_factory=dict)
    """Those of ``MORE_COLUMNS`` that a table has, and ``content``; NaN or ``None`` where it says nothing. The deviation
    is that of ``mos``, so on its scale."""
    tables: tuple[LabelTable, ...] = ()

    @property
    def nulls(self) -> int:
        """How many keys have no label at all."""
        return int((np.isnan(self.mos) & ~self.strange).sum())


def read_labels(
    paths: Sequence[str],
    key_column: str = "",
    mos_column: str = "",
    *,
    how: str = "auto",
    regex: str | None = None,
    scale: str = "auto",
    header: bool = True,
    contents: Sequence[str] = (),
) -> Labels:
    """The labels of the tables at ``paths``, joined by key.

    Without names the columns are the first of ``KEY_COLUMNS`` and of ``MOS_COLUMNS``. ``how`` and ``regex`` make keys
    alike as in ``normalize_keys``. ``scale`` is ``LOW-HIGH``, as in 1-5, or ``auto``: what each table's whole column
    proves. A key that is there again must have the same label. Without ``header`` CSV has columns column_1, column_2
    and so on. The first of ``contents`` that a table has says what its clips show. Raises ``InputError`` and
    ``ConfigError``.
    """
    options = _Options(key_column, mos_column, how, regex, scale, tuple(contents))
    pairs = [_read_table(read_whole(path, header=header), path, options) for path in paths]
    return _unite([table for table, _ in pairs], [columns for _, columns in pairs])


@dataclass(frozen=True)
class _Options:
    """As in ``read_labels``."""

    key_column: str
    mos_column: str
    how: str
    regex: str | None
    scale: str
    contents: tuple[str, ...]


def _read_table(table: Whole, path: str, options: _Options) -> tuple[LabelTable, _Columns]:
    """One table, and its columns by the names that they are written with."""
    table.require_rows()
    mos_column = options.mos_column or _first_mos_column(table, path)
    key_column = options.key_column or first_key_column([name for name in table.names if name != mos_column], path)
    keys = normalize_keys(table.texts(key_column), key_column, options.how, options.regex)
    column = read_scores(table, mos_column)
    scores, scale = column.numbers, options.scale
    bounds, reason = _state_scale(scale) if scale != "auto" else _prove_scale(column, mos_column, path)
    _check_range(scores, bounds, keys, mos_column, path)
    low, high = bounds
    part = (scores - low) / (high - low)
    values: _Columns = {
        "key": keys,
        "strange": column.strange,
        "mos": scores if bounds == (1, 5) else 1 + 4 * part,  # as it is where it can be: no rounding
        "mos_raw_0_100": scores if bounds == (0, 100) else 100 * part,
    }
    for name in MORE_COLUMNS:
        if name in table.names:
            values[name] = table.numbers(name) if name in _NUMBERS else table.texts(name)
    content = next((name for name in options.contents if name in table.names and name != key_column), "")
    if content:
        values["content"] = table.texts(content)
    if "mos_std_dev" in values:
        values["mos_std_dev"] = values["mos_std_dev"] * (4 / (high - low))
    strange, without = int(column.strange.sum()), sum(key is None for key in keys)
    nulls, first = int(np.isnan(scores).sum()) - strange, column.first_strange
    counts = table.rows, nulls, without, strange
    return LabelTable(path, key_column, mos_column, bounds, reason, *counts, first, content), values


def _first_mos_column(table: Whole, path: str) -> str:
    for name in MOS_COLUMNS:
        if name in table.names:
            return name
    columns = ", ".join(map(repr, table.names))
    raise InputError(f"{path}: no column is known to hold scores; name it with --label-mos-column. It has {columns}")


def _state_scale(scale: str) -> tuple[tuple[float, float], str]:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)-(\d+(?:\.\d+)?)", scale)
    if not match or float(match[1]) >= float(match[2]):
        raise ConfigError(f"--label-scale is {scale!r}: give the lowest and the highest score, such as 1-5 or 0-100")
    return (float(match[1]), float(match[2])), "stated"


def _prove_scale(scores: Scores, column: str, path: str) -> tuple[tuple[float, float], str]:
    """The scale of a whole column: 1 to 5, or 0 to 100. Raises ``InputError`` where the column could be of another."""
    if column in _OF_RAW:
        return (0.0, 100.0), f"the column is called {column}"
    known = scores.numbers[~np.isnan(scores.numbers)]
    if not len(known):
        wrong = f": {scores.first_strange}" if scores.first_strange else ""
        raise InputError(f"{path}: the column {column!r} has not one score{wrong}")
    low, high = known.min(), known.max()
    spans = f"its {len(known)} scores go from {low:g} to {high:g}"
    if low >= 0 and 10 < high <= 100:
        return (0.0, 100.0), spans
    if low >= 1 and high <= 5 and len(known) >= _FEWEST:
        return (1.0, 5.0), spans
    raise InputError(
        f"{path}: the scale of the column {column!r} cannot be told: {spans}. Give it, as in --label-scale 1-5 or "
        "--label-scale 0-100"
    )


def _check_range(
    scores: NDArray[np.float64], bounds: tuple[float, float], keys: NDArray[np.object_], column: str, path: str
) -> None:
    wrong = np.flatnonzero((scores < bounds[0]) | (scores > bounds[1]))
    if len(wrong):
        first = wrong[0]
        raise InputError(
            f"{path}: {len(wrong)} of the scores in the column {column!r} are outside the scale {bounds[0]:g} to "
            f"{bounds[1]:g}, the first of them {scores[first]:g} in row {first + 1} ({keys[first]}): correct them or "
            "--label-scale"
        )


def _unite(tables: Sequence[LabelTable], columns: Sequence[_Columns]) -> Labels:
    names = [name for name in (*MORE_COLUMNS, "content") if any(name in values for values in columns)]
    rows: dict[str, dict[str, object]] = {}
    for table, values in zip(tables, columns, strict=True):
        lists = {name: column.tolist() for name, column in values.items()}
        for place, key in enumerate(lists["key"]):
            if key is None:
                continue
            row = {name: column[place] for name, column in lists.items()} | {"source": table.path}
            former = rows.get(key)
            if former is None or (_is_null(former["mos"]) and not (_is_null(row["mos"]) and former["strange"])):
                rows[key] = row
            elif not _is_null(row["mos"]):
                _check_same(former, row)
    union = list(rows.values())

    def numbers(name: str) -> NDArray[np.float64]:
        return np.array([row.get(name, np.nan) for row in union], np.float64)

    more: _Columns = {
        name: numbers(name) if name in _NUMBERS else _objects([row.get(name) for row in union]) for name in names
    }
    source = _objects([row["source"] for row in union])
    strange = np.array([row["strange"] for row in union], bool)
    return Labels(_objects(list(rows)), numbers("mos"), numbers("mos_raw_0_100"), source, strange, more, tuple(tables))


def _objects(values: Sequence[object]) -> NDArray[np.object_]:
    array = np.empty(len(values), object)
    array[:] = values
    return array


def _is_null(value: object) -> bool:
    return isinstance(value, float) and isnan(value)


def _check_same(former: dict[str, object], row: dict[str, object]) -> None:
    first, second = float(str(former["mos"])), float(str(row["mos"]))
    if abs(first - second) > _SAME:
        raise InputError(
            f"the clip {row['key']!r} has two labels: {first:g} in {former['source']} and {second:g} in "
            f"{row['source']}, on the scale 1 to 5. Remove one, or make the keys distinct with --key-normalize"
        )
