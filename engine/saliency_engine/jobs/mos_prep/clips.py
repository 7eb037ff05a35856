"""One table of features as clips: failed rows dropped with a reason, the rows of one clip pooled to their mean."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from saliency_engine.errors import InputError
from saliency_engine.jobs.mos_prep.settings import OF_FRAMES, OF_LABELS, TAGS, Settings
from saliency_engine.tables.keys import KEY_COLUMNS, first_key_column, normalize_keys
from saliency_engine.tables.prefixes import DEFAULT, choose_prefix, others_columns
from saliency_engine.tables.whole import Whole
from saliency_engine.tags import Tags, unite_tags
from saliency_engine.types import Status

_DONE = frozenset({None, str(Status.OK), str(Status.SKIPPED_EXISTING)})
_TEXTS = ("split", "corpus", "corpus_version")
Units = list[tuple[str, Tags]]
"""Clips by key and by how their saliency was made."""
_ALPHA_DIGITS = 6  # a column of float32 may hold the alpha


@dataclass(frozen=True)
class Clips:
    """The clips of one table."""

    name: str
    rows: int
    """Of the table, before anything."""
    key_column: str
    keys: NDArray[np.object_]
    """``[n]`` text; with ``tags`` they are distinct."""
    tags: list[Tags]
    """``[n]``"""
    numbers: dict[str, NDArray[np.float64]]
    """Column to ``[n]``; NaN where the table says nothing."""
    texts: dict[str, NDArray[np.object_]]
    """The same for text: ``content``, ``split``, ``corpus``, ``corpus_version``."""
    dropped: Counter[str] = field(default_factory=Counter)
    """Why rows are not used, and how many."""
    pooled: int = 0
    """Clips of several rows."""
    content_column: str = ""
    """The column that says what clips show; empty where the table has none."""
    infinite: dict[str, int] = field(default_factory=dict)
    """Columns with infinities among their numbers, and in how many rows."""


def read_clips(table: Whole, settings: Settings, key_column: str = "") -> Clips:
    """The clips of ``table``. Raises ``InputError`` where no column is their key, or one clip is in two splits."""
    table.require_rows()
    key_column = key_column or settings.feature_key_column or first_key_column(table.names, table.name)
    keys = normalize_keys(
        table.texts(key_column), key_column, settings.key_normalize, settings.feature_key_regex or None
    )
    prefix = choose_prefix(table.names, settings.prefix, table.name)
    reasons = _find_failures(table, keys, prefix)
    kept = np.flatnonzero(reasons == "")
    dropped = Counter(reasons[reasons != ""].tolist())
    tags = _read_tags(table, prefix)
    united = unite_tags(tags[row] for row in kept)
    tags = [united.get(own, own) for own in tags]
    unit_of_row, first_rows = _number_units([(keys[row], tags[row]) for row in kept])
    numbers, infinite, texts = {}, {}, {}
    for name, column in _find_features(table, key_column, prefix, settings).items():
        values = table.numbers(column)[kept]
        numbers[name] = _pool(values, unit_of_row, len(first_rows))
        if count := int(np.isinf(values).sum()):
            infinite[name] = count
    text_columns = _find_texts(table, key_column, settings)
    for name, column in text_columns.items():
        words = table.texts(column)[kept]
        texts[name] = _unite_texts(words, unit_of_row, len(first_rows))
        _refuse_two_splits(name, words, texts[name][unit_of_row], keys[kept], table.name)
    firsts = kept[first_rows]
    pooled = int((np.bincount(unit_of_row, minlength=len(firsts)) > 1).sum())
    units, content = [tags[row] for row in firsts], text_columns.get("content", "")
    return Clips(
        table.name, table.rows, key_column, keys[firsts], units, numbers, texts, dropped, pooled, content, infinite
    )


def _find_failures(table: Whole, keys: NDArray[np.object_], prefix: str) -> NDArray[np.object_]:
    """``[rows]`` why a row cannot be used; empty where it can."""
    reasons = np.full(table.rows, "", object)
    results = [prefix + name for name in ("mean", "var") if prefix + name in table.names]
    if results:
        values = np.array([table.numbers(name) for name in results])
        reasons[~np.isfinite(values).all(axis=0)] = "without saliency"
        reasons[np.isinf(values).any(axis=0)] = "with infinite saliency"
    if f"{prefix}status" in table.names:
        for row, status in enumerate(table.texts(f"{prefix}status")):
            if status not in _DONE:
                reasons[row] = status
    reasons[[key is None for key in keys]] = "without a key"
    return reasons


def _read_tags(table: Whole, prefix: str) -> list[Tags]:
    """``[rows]`` what each row says of how its saliency was made."""
    values: list[list[object]] = []
    for name in TAGS:
        column = prefix + name
        if column not in table.names:
            values.append([None] * table.rows)
        elif name == "ema_alpha":
            alphas = np.round(table.numbers(column), _ALPHA_DIGITS)
            values.append([None if np.isnan(alpha) else float(alpha) for alpha in alphas])
        else:
            values.append(table.texts(column).tolist())
    known: dict[tuple[object, ...], Tags] = {}  # 150,000 rows have one or two
    return [known.setdefault(row, Tags(*row)) for row in zip(*values, strict=True)]


def _number_units(units: Units) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """``[rows]`` the number of each row's unit, in order of appearance, and ``[units]`` its first row."""
    numbers: dict[tuple[str, Tags], int] = {}
    codes = np.fromiter((numbers.setdefault(unit, len(numbers)) for unit in units), np.int64, len(units))
    firsts = np.unique(codes, return_index=True)[1] if len(codes) else np.empty(0, np.int64)
    return codes, firsts


def _pool(values: NDArray[np.float64], unit_of_row: NDArray[np.int64], units: int) -> NDArray[np.float64]:
    """``[units]`` the mean of each unit's values that are numbers."""
    finite = np.isfinite(values)
    if units == len(values):
        return np.where(finite, values, np.nan)
    counts = np.bincount(unit_of_row[finite], minlength=units)
    sums = np.bincount(unit_of_row[finite], values[finite], units)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def _unite_texts(values: NDArray[np.object_], unit_of_row: NDArray[np.int64], units: int) -> NDArray[np.object_]:
    """``[units]`` the first text of each unit."""
    united = np.full(units, None, object)
    for unit, value in zip(unit_of_row[::-1], values[::-1], strict=True):
        if value is not None:
            united[unit] = value
    return united


def _refuse_two_splits(
    name: str, values: NDArray[np.object_], united: NDArray[np.object_], keys: NDArray[np.object_], table: str
) -> None:
    if name != "split":
        return
    for value, first, key in zip(values, united, keys, strict=True):
        if value is not None and value != first:
            raise InputError(
                f"{table}: rows of the clip {key!r} are in the splits {first!r} and {value!r}: put a clip in one split"
            )


def _find_features(table: Whole, key_column: str, prefix: str, settings: Settings) -> dict[str, str]:
    """The columns with features: the name that each is written with, and its own."""
    tags = {prefix + name for name in (*TAGS, "status", "error")}
    others = {key_column, settings.content_column, *KEY_COLUMNS, *OF_LABELS, *OF_FRAMES, *tags}
    others |= others_columns(table.names, prefix) | {settings.label_mos_column}
    if prefix != DEFAULT:  # such columns would be written with the names of those that are meant
        others |= {name for name in table.names if name.startswith(DEFAULT) and not name.startswith(prefix)}
    columns = {}
    for name in table.names:
        if name not in others and table.holds_numbers(name):
            plain = DEFAULT + name.removeprefix(prefix) if name.startswith(prefix) else name
            columns[plain] = name
    return columns


def _find_texts(table: Whole, key_column: str, settings: Settings) -> dict[str, str]:
    columns = {name: name for name in _TEXTS if name in table.names}
    content = next((name for name in settings.contents if name in table.names and name != key_column), "")
    return columns | ({"content": content} if content else {})
