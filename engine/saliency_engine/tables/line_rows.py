"""Which of JSON lines already have a saliency, and which clip each of the others names."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from saliency_engine.tables.clip_values import explain_absence, make_clip
from saliency_engine.tables.columns import Columns
from saliency_engine.tables.jsonl_lines import Lines, ParsedLines
from saliency_engine.tables.row_tags import LineTags, make_tags
from saliency_engine.tags import Tags
from saliency_engine.types import SKIPPED, ClipReference, RowBatch

_INFINITY = float("inf")
_MOST_NAMES = 1000
"""Enough for a message; keys may be different in every line."""


class LineRows:
    """Finds the clips that JSON lines name, row by row."""

    def __init__(self, columns: Columns) -> None:
        self._columns, self._tags = columns, LineTags(columns)
        self._extras = columns.extras
        self._keep = not columns.overwrite and bool(columns.mean and columns.var)
        self._missing = set(columns.of_paths)
        self._names: dict[str, None] = {}  # while no row has one of them

    def find_clips(self, chunk: ParsedLines, first_row: int) -> RowBatch[Lines]:
        """``chunk`` with a code for each row. A row without a path, or whose path is not text, has an empty one.

        With a template numbers are written as they stand in the line. Raises ``InputError`` for tags that the run would
        change beside numbers that it does not write.
        """
        columns, keep = self._columns, self._keep
        mean, var, names = columns.mean, columns.var, columns.of_clips
        paths = columns.of_paths if columns.template else ()
        if self._missing:
            self._look_for_path_columns(chunk.rows)
        codes, kept, completed = [], Counter[tuple[Any, ...]](), Counter[tuple[Any, ...]]()
        index: dict[ClipReference, int] = {}

        def find_code(*values: Any) -> int:
            return index.setdefault(make_clip(columns, *values), len(index))

        # Making a clip takes 1.2 µs, ten times as long as knowing it again. Typed, because true is not 1.
        find_again = lru_cache(None, typed=True)(find_code)
        for at, row in enumerate(chunk.rows):
            if keep and _is_finite(row.get(mean)) and _is_finite(row.get(var)):
                if all(map(_is_finite, map(row.get, self._extras))):
                    codes.append(SKIPPED)
                    kept[self._tags.read(row)] += 1
                    continue
                completed[self._tags.read(row)] += 1
            self._tags.refuse_renaming(row, chunk.keys[at], chunk.numbers[at])
            if float in map(type, map(row.get, paths)):
                row = {**row, **_spell_numbers(chunk.line(at), paths)}  # noqa: PLW2901
            try:
                codes.append(find_again(*map(row.get, names)))
            except TypeError:  # a list or an object, which has no hash
                codes.append(find_code(*map(row.get, names)))
        lines = Lines(chunk.texts, chunk.keys, chunk.trailer)
        tags, again = _count_tags(kept), _count_tags(completed)
        return RowBatch(first_row, np.asarray(codes, np.int32), tuple(index), lines, tags, again)

    def end(self) -> None:
        """There are no more lines. Raises ``InputError`` where there were rows and none had a column of the path."""
        if self._missing and self._names:
            raise explain_absence(self._columns, min(self._missing), list(self._names))

    def _look_for_path_columns(self, rows: Sequence[dict[str, Any]]) -> None:
        for row in rows:
            self._missing -= row.keys()
            if not self._missing:
                return
            if len(self._names) < _MOST_NAMES:
                self._names.update(dict.fromkeys(row))


def _count_tags(rows: Counter[tuple[Any, ...]]) -> Counter[Tags]:
    tags = Counter[Tags]()
    for values, count in rows.items():
        tags[make_tags(*values)] += count
    return tags


def _spell_numbers(line: bytes, names: Sequence[str]) -> dict[str, Any]:
    """The values that ``line`` has for ``names``, numbers as they are written there."""
    row = json.loads(line, parse_float=str, parse_int=str)
    return {name: value if isinstance(value := row.get(name), str) else None for name in names}


def _is_finite(value: Any) -> bool:
    return type(value) in (float, int) and -_INFINITY < value < _INFINITY
