"""Which rows of a table are looked at: what ``--select`` says. Its grammar is in docs/tables.md."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from math import isfinite
from typing import Any

from saliency_engine.errors import ConfigError, InputError
from saliency_engine.tables.row_values import read_values
from saliency_engine.types import ClipReference, RowBatch, Status

MOS_COLUMNS = ("mos", "MOS", "mean_mos", "mos_raw_0_100", "raw_mos", "score", "quality", "video_score")
"""Columns that hold a mean opinion score, the likeliest first."""
_GRAMMAR = "worst, best, worst:COLUMN, best:COLUMN, failed, COLUMN=VALUE, or the number of a row"
_DONE = {None, "", Status.OK, Status.SKIPPED_EXISTING}


@dataclass(frozen=True)
class ChosenRow:
    """A row that is looked at."""

    number: int
    """Counted from 1."""
    clip: ClipReference
    values: Mapping[str, Any]
    """What the row holds in the columns that were asked for, as JSON has it."""

    def number_in(self, name: str) -> float | None:
        """The finite number in a column, also where it is text, as in CSV."""
        value = self.values.get(name)
        if isinstance(value, int | float | str) and not isinstance(value, bool):
            with suppress(ValueError, OverflowError):
                return number if isfinite(number := float(value)) else None
        return None


class Selection:
    """The rows that all of ``texts`` fit, values of ``--select``; ``names`` are the output columns by role.

    Raises ``ConfigError`` for a text that is none.
    """

    def __init__(self, texts: Sequence[str], names: Mapping[str, str]) -> None:
        self._texts, self._names = texts, names
        self._first, self._failed, self._values = 1, False, list[tuple[str, str]]()
        self._order, self._column = "", ""
        for text in texts:
            self._take(text)

    def _take(self, text: str) -> None:
        word, _, column = text.partition(":")
        name, equals, value = text.partition("=")
        if word in {"worst", "best"} and (column or text == word):
            if self._order:
                raise ConfigError(f"--select {text}: rows are in one order only, and another --select names one, too")
            self._order, self._column = word, column
        elif text == "failed":
            self._failed = True
        elif equals and name:
            self._values.append((name, value))
        elif text.isdecimal() and int(text) > 0:
            self._first = int(text)
        else:
            raise ConfigError(f"--select {text!r} is none of these: {_GRAMMAR}")

    def choose(self, batches: Iterable[RowBatch[Any]], count: int, columns: Sequence[str] = ()) -> list[ChosenRow]:
        """The first ``count`` rows of different clips, in the table's order or in that of ``worst`` and ``best``.

        They have the values of ``columns``. Raises ``InputError`` where rows are selected and none fits.
        """
        wanted = {*columns, *MOS_COLUMNS, self._column, *(name for name, _ in self._values)}
        wanted |= {self._names["status"], self._names["mean"]}
        rows = self._fitting(batches, wanted.__contains__)
        chosen = self._order_rows(rows, count) if self._order else _take_distinct(rows, count)
        if self._texts and not chosen:
            what = " ".join(f"--select {text}" for text in self._texts)
            by = f" and has a number in the column {self._column!r}" if self._column else ""
            raise InputError(f"no row fits {what}{by}")
        return chosen

    def _fitting(self, batches: Iterable[RowBatch[Any]], wanted: Callable[[str], bool]) -> Iterator[ChosenRow]:
        for batch in batches:
            if batch.first_row + batch.rows < self._first:
                continue
            values = read_values(batch.payload, wanted)
            for number, (code, row) in enumerate(zip(batch.codes.tolist(), values, strict=True), batch.first_row + 1):
                if number < self._first or (self._failed and row.get(self._names["status"]) in _DONE):
                    continue
                if all(name in row and _holds(row[name], value) for name, value in self._values):
                    yield ChosenRow(number, batch.clips[code], row)

    def _order_rows(self, rows: Iterable[ChosenRow], count: int) -> list[ChosenRow]:
        best: dict[ClipReference, tuple[float, int, ChosenRow]] = {}
        for row in rows:
            self._column = self._column or next(
                (name for name in MOS_COLUMNS if name in row.values), self._names["mean"]
            )
            number = row.number_in(self._column)
            if number is None:
                continue
            entry = (-number if self._order == "best" else number, row.number, row)
            if row.clip not in best or entry[:2] < best[row.clip][:2]:
                best[row.clip] = entry
                if len(best) > count:
                    del best[max(best, key=lambda clip: best[clip][:2])]
        return [row for _, _, row in sorted(best.values(), key=lambda entry: entry[:2])]


def find_rows(batches: Iterable[RowBatch[Any]], places: Iterable[int], columns: Sequence[str]) -> list[ChosenRow]:
    """The rows at ``places``, counted from 0, with the values of ``columns``, in the table's order."""
    wanted, rows = {*places}, []
    for batch in batches:
        own = {place - batch.first_row for place in wanted if 0 <= place - batch.first_row < batch.rows}
        if not own:
            continue
        for at, (code, values) in enumerate(
            zip(batch.codes.tolist(), read_values(batch.payload, {*columns}.__contains__), strict=True)
        ):
            if at in own:
                rows.append(ChosenRow(batch.first_row + at + 1, batch.clips[code], values))
    return rows


def _take_distinct(rows: Iterable[ChosenRow], count: int) -> list[ChosenRow]:
    chosen: dict[ClipReference, ChosenRow] = {}
    for row in rows:
        if len(chosen) >= count:
            break
        chosen.setdefault(row.clip, row)
    return list(chosen.values())


def _holds(value: Any, text: str) -> bool:
    """Whether ``value`` is written as ``text``, or is the same number."""
    if value == text or (not isinstance(value, str) and json.dumps(value) == text):
        return True
    with suppress(ValueError):
        return isinstance(value, int | float) and not isinstance(value, bool) and float(text) == value
    return False
