"""What is compared: for each table, prefix and setting the numbers of its clips, in one order of clips for all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from math import isnan, nan
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from saliency_engine.errors import InputError
from saliency_engine.jobs.signal_values import read_signal
from saliency_engine.tables.keys import first_key_column, normalize_keys
from saliency_engine.tables.prefixes import find_prefixes
from saliency_engine.tables.whole import Whole, read_whole
from saliency_engine.tags import TAG_ROLES, Tags
from saliency_engine.types import Status

Numbers = NDArray[np.float64]
ABSENT = "not in the table"
_NO_NUMBER = "without a number"
_NO_REASON = {None, str(Status.OK), str(Status.SKIPPED_EXISTING)}
_NO_SIGNALS = {"ema_alpha"}
"""Numbers with a prefix that say how others were made."""


@dataclass(frozen=True)
class KeyedTable:
    """A table, and the clip that each of its rows is about."""

    path: str
    whole: Whole
    key_column: str
    codes: NDArray[np.int64]
    """``[rows]``: the place of each row's clip among ``Clips.keys``; −1 for a row without a key."""

    @property
    def rows_without_key(self) -> int:
        """How many rows take no part."""
        return int((self.codes < 0).sum())


class Clips:
    """The clips of all tables, by their keys, in the order in which they came up."""

    def __init__(self, key_column: str, normalize: str) -> None:
        self._key_column, self._normalize = key_column, normalize
        self._places: dict[str, int] = {}

    @property
    def keys(self) -> list[str]:
        """The clips' keys."""
        return list(self._places)

    def read(self, path: str) -> KeyedTable:
        """The table at ``path``; its clips are added. Raises ``InputError``, as where its key column is missing."""
        table = read_whole(path)
        return self._add(path, table, self._key_column or first_key_column(table.names, path))

    def read_labels(self, path: str, key_column: str) -> KeyedTable:
        """The same for a table of labels, whose key may be called otherwise."""
        table = read_whole(path)
        names = (key_column, self._key_column if self._key_column in table.names else "")
        return self._add(path, table, next(filter(None, names), "") or first_key_column(table.names, path))

    def _add(self, path: str, table: Whole, name: str) -> KeyedTable:
        if not table.rows:
            raise InputError(f"{path}: it has no rows, so that there is nothing to compare")
        keys = normalize_keys(table.texts(name), name, self._normalize)
        places = self._places
        codes = [-1 if key is None else places.setdefault(key, len(places)) for key in keys]
        return KeyedTable(path, table, name, np.array(codes, np.int64))


@dataclass(frozen=True)
class Side:
    """The numbers of one table that were made in one way. Arrays are ``[clips]``, in the order of ``Clips.keys``."""

    table: str
    prefix: str
    tags: Tags
    rows: int
    """Rows with numbers."""
    signals: Mapping[str, Numbers]
    """By the names of columns without the prefix, ``mean`` and ``var`` first; NaN where a clip has none. A clip with
    several rows has their mean."""
    statuses: NDArray[np.object_]
    """``ok`` where there are numbers, else why not, ``ABSENT`` where no row is about the clip."""
    first_rows: NDArray[np.int64]
    """The number of a row of the clip, counted from 0; −1 where there is none."""

    @property
    def clips(self) -> int:
        """How many clips have numbers."""
        return int(np.isfinite(self.signals["mean"]).sum())

    @property
    def setting(self) -> tuple[str, str, str]:
        """Model, aggregator with its alpha, and sampling, in words; empty where the rows do not say."""
        alpha = f" {self.tags.ema_alpha:g}" if self.tags.ema_alpha is not None else ""
        return self.tags.model_id or "", (self.tags.aggregator or "") + alpha, self.tags.sampling or ""


def find_sides(tables: Sequence[KeyedTable], clips: int) -> list[Side]:
    """The sides of ``tables``. Raises ``InputError`` for a table without saliency."""
    return [side for table in tables for prefix in _find_prefixes(table) for side in _split(table, prefix, clips)]


def check_overlap(tables: Sequence[KeyedTable], keys: Sequence[str]) -> None:
    """Raises ``InputError`` where several tables have no clip in common."""
    present = [np.unique(table.codes[table.codes >= 0]) for table in tables]
    if len(tables) < 2 or len(np.unique(np.concatenate(present))) < sum(map(len, present)):
        return
    examples = ", ".join(
        f"{keys[codes[0]] if len(codes) else 'none'!r} in {table.path} (column {table.key_column!r})"
        for table, codes in zip(tables, present, strict=True)
    )
    raise InputError(
        f"no key is in two of the tables; a key of each is {examples}. If they name the same clips, make them alike "
        "with --key and --key-normalize"
    )


def name_sides(sides: Sequence[Side]) -> list[str]:
    """A short name for each side: what of its setting sets it apart, and its table where that is not enough."""
    settings = [side.setting for side in sides]
    differing = [place for place in range(3) if len({setting[place] for setting in settings} - {""}) > 1]
    names = [" · ".join(filter(None, (setting[place] for place in differing))) for setting in settings]
    parts = [[side.prefix.rstrip("_") for side in sides], [Path(side.table).stem for side in sides]]
    for more in (*parts, [side.table for side in sides]):
        if len({*names}) == len(names) and all(names):
            break
        if len({*more}) > 1 or more is parts[-1]:
            names = [" · ".join(filter(None, pair)) for pair in zip(more, names, strict=True)]
    # "var of max" would say something else.
    return [f"aggregator {name}" if name == setting[1] else name for name, setting in zip(names, settings, strict=True)]


def pool(values: Numbers, codes: NDArray[np.int64], clips: int) -> Numbers:
    """``[clips]``: the mean of the finite ``values`` of each clip's rows, NaN where there is none."""
    usable = np.isfinite(values) & (codes >= 0)
    counts = np.bincount(codes[usable], minlength=clips)
    sums = np.bincount(codes[usable], values[usable], minlength=clips)
    return np.where(counts > 0, sums / np.maximum(counts, 1), nan)


def _find_prefixes(table: KeyedTable) -> list[str]:
    names = table.whole.names
    prefixes = find_prefixes(names)
    if not prefixes:
        raise InputError(
            f"{table.path}: no columns are those of a run, such as saliency_mean, saliency_var and saliency_model_id. "
            f"It has {', '.join(map(repr, names))}"
        )
    return prefixes


def _split(table: KeyedTable, prefix: str, clips: int) -> Iterator[Side]:
    """A side for each setting of the rows with numbers; without one, a side without a setting."""
    whole, codes = table.whole, table.codes
    names = ["mean", "var", *_more_signals(whole, prefix)]
    columns = {
        name: read_signal(whole, prefix + name, is_share=name in {"mean", "var"})
        for name in names
        if prefix + name in whole.names
    }
    computed = np.isfinite(columns["mean"]) & (codes >= 0)
    failed = _first_of((codes >= 0) & ~computed, codes, clips)
    reasons = _read_reasons(whole, prefix, failed)
    for tags, own in _group_by_tags(whole, prefix, computed):
        first = _first_of(own, codes, clips)
        rows = np.where(first >= 0, first, failed)
        statuses = np.where(first >= 0, str(Status.OK), reasons)
        signals = {name: pool(np.where(own, values, nan), codes, clips) for name, values in columns.items()}
        yield Side(table.path, prefix, tags, int(own.sum()), signals, statuses, rows)


def _read_reasons(whole: Whole, prefix: str, failed: NDArray[np.int64]) -> NDArray[np.object_]:
    """``[clips]``: the status of the row ``failed[clip]``, which has no number; ``ABSENT`` where that is −1."""
    statuses = whole.texts(f"{prefix}status") if f"{prefix}status" in whole.names else np.full(whole.rows, None, object)
    reasons = np.full(len(failed), ABSENT, object)
    there = failed >= 0
    reasons[there] = [_NO_NUMBER if status in _NO_REASON else status for status in statuses[failed[there]]]
    return reasons


def _more_signals(whole: Whole, prefix: str) -> list[str]:
    own = [name.removeprefix(prefix) for name in whole.names if name.startswith(prefix)]
    return [name for name in own if name not in {"mean", "var", *_NO_SIGNALS} and whole.holds_numbers(prefix + name)]


def _group_by_tags(whole: Whole, prefix: str, computed: NDArray[np.bool_]) -> Iterable[tuple[Tags, NDArray[np.bool_]]]:
    """The different tags of the ``computed`` rows ``[rows]``, each with its rows; the most frequent first."""
    columns = [
        whole.texts(prefix + role) if prefix + role in whole.names else np.full(whole.rows, None, object)
        for role in TAG_ROLES
    ]
    places: dict[tuple[str | None, ...], int] = {}
    codes = np.full(whole.rows, -1)
    rows = np.flatnonzero(computed)
    codes[rows] = [
        places.setdefault(values, len(places)) for values in zip(*(column[rows] for column in columns), strict=True)
    ]
    groups: dict[Tags, NDArray[np.bool_]] = {}
    for values, place in places.items():
        tags = _tags_of(values)
        groups[tags] = groups.get(tags, np.zeros(whole.rows, bool)) | (codes == place)
    return sorted(groups.items(), key=lambda group: -group[1].sum()) or [(Tags(), computed)]


def _tags_of(values: Sequence[str | None]) -> Tags:
    model_id, aggregator, alpha, sampling = values
    weighs = aggregator in {"ema", None}  # of the others no number follows from it
    return Tags(model_id, aggregator, _alpha_of(alpha) if weighs else None, sampling)


def _alpha_of(text: str | None) -> float | None:
    """An alpha as a table spells it; what is no number, such as a dash, says nothing."""
    with suppress(ValueError):
        alpha = float(text or nan)
        return None if isnan(alpha) else round(alpha, 6)
    return None


def _first_of(chosen: NDArray[np.bool_], codes: NDArray[np.int64], clips: int) -> NDArray[np.int64]:
    """``[clips]``: the first of the ``chosen`` rows that is about the clip, −1 where there is none."""
    first = np.full(clips, -1)
    rows = np.flatnonzero(chosen)[::-1]
    first[codes[rows]] = rows
    return first
