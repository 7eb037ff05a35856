"""Which rows already have a saliency, and which clip each of the others names."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from saliency_engine.config import NUMBER_ROLES
from saliency_engine.errors import InputError
from saliency_engine.tables.columns import Columns, column_index
from saliency_engine.tables.dictionaries import decode_dictionary
from saliency_engine.tables.jsonl_lines import Lines, ParsedLines
from saliency_engine.types import SKIPPED, ClipReference, RowBatch

_INFINITY = float("inf")
_MOST_NAMES = 1000
"""Enough for a message; keys may be different in every line."""
_MOST_PIXELS = 2**31 - 1  # FFmpeg's own bound


def from_batches(batches: Iterable[pa.RecordBatch], columns: Columns) -> Iterator[RowBatch[pa.RecordBatch]]:
    """One ``RowBatch`` for each of ``batches``, which must share one schema.

    Raises ``InputError`` as ``ArrowRows`` does, and where a batch's schema differs from the first one's.
    """
    rows: ArrowRows | None = None
    first_row = 0
    for batch in batches:
        rows = rows or ArrowRows(batch.schema, columns)
        if not batch.schema.equals(rows.schema):
            raise InputError(
                f"the batch at row {first_row} has another schema than the first batch: process the batches of "
                "different tables in calls of their own"
            )
        yield rows.find_clips(batch, first_row)
        first_row += batch.num_rows


class ArrowRows:
    """Finds the clips that the record batches of one schema name, column by column.

    Raises ``InputError`` when the path column is absent or is not text, and for values of another kind in a column that
    the run writes.
    """

    def __init__(self, schema: pa.Schema, columns: Columns) -> None:
        self.schema = schema
        self._path = _find_path_column(schema, columns.path) if columns.path else None
        keys = (columns.width, columns.height, columns.pix_fmt)
        self._width, self._height, self._pixel_format = (column_index(schema, name) for name in keys)
        results = [column_index(schema, name) for name in (columns.mean, columns.var)]
        keep = not columns.overwrite and all(i is not None and _is_number(schema.field(i).type) for i in results)
        self._results = results if keep else []
        written = ((column_index(schema, name), role) for name, role in columns.roles.items())
        self._clashing = {i: role for i, role in written if i is not None and not _fits(schema.field(i).type, role)}

    def find_clips(self, batch: pa.RecordBatch, first_row: int) -> RowBatch[pa.RecordBatch]:
        """``batch`` with a code for each row.

        Raises ``InputError`` for a path that is not UTF-8, and for a value of another kind where the run writes. Nulls
        are right in every column.
        """
        for i, role in self._clashing.items():
            if batch.column(i).null_count < batch.num_rows:
                wanted, option = "a number" if role in NUMBER_ROLES else "text", f"--{role.replace('_', '-')}-column"
                raise InputError(
                    f"column {self.schema.names[i]!r} is {self.schema.field(i).type}, but this run writes {wanted} "
                    f"there, in or after row {first_row}: rename it, or name another column with {option}"
                )
        codes = np.full(batch.num_rows, SKIPPED, np.int32)
        todo = self._find_todo(batch)
        if not len(todo):
            return RowBatch(first_row, codes, (), batch)
        codes[todo], clips = self._number_clips(batch, todo, first_row)
        return RowBatch(first_row, codes, clips, batch)

    def _find_todo(self, batch: pa.RecordBatch) -> NDArray[np.int64]:
        """The rows without a finite mean and variance."""
        if not self._results:
            return np.arange(batch.num_rows)
        mean, var = (pc.is_finite(decode_dictionary(batch.column(i))) for i in self._results)
        done = pc.fill_null(pc.and_(mean, var), False)
        if done.true_count == batch.num_rows:  # the common case of a second run
            return np.empty(0, np.int64)
        return np.flatnonzero(~done.to_numpy(zero_copy_only=False))

    def _number_clips(
        self, batch: pa.RecordBatch, todo: NDArray[np.int64], first_row: int
    ) -> tuple[NDArray[np.int32], tuple[ClipReference, ...]]:
        """A code for each row in ``todo``, and the clips that the codes index."""
        places = (self._path, self._width, self._height, self._pixel_format)
        keys = [None if place is None else _as_key(batch.column(place)) for place in places]
        if len(todo) < batch.num_rows:
            keys = [None if key is None else key.take(pa.array(todo)) for key in keys]
        codes, firsts = _number_keys([key for key in keys if key is not None], len(todo))
        try:
            values = [[None] * len(firsts) if key is None else key.take(firsts).to_pylist() for key in keys]
        except UnicodeDecodeError as error:
            raise InputError(f"a path or pixel format in or after row {first_row} is not UTF-8: {error}") from error
        index: dict[ClipReference, int] = {}  # raw keys that differ may mean the same: width null and width -1
        clip_codes = [index.setdefault(_make_clip(*key), len(index)) for key in zip(*values, strict=True)]
        return np.asarray(clip_codes, np.int32)[codes], tuple(index)


def _number_keys(keys: Sequence[pa.Array], rows: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """``[rows]`` codes of the distinct key tuples, numbered as they appear, and the first row of each code."""
    codes, count = np.zeros(rows, np.int64), 1
    for key in keys:
        encoded = key.dictionary_encode(null_encoding="encode")
        pairs = codes * len(encoded.dictionary) + encoded.indices.to_numpy()
        again = pa.array(pairs).dictionary_encode()  # keeps the product within int64 whatever the number of keys
        codes, count = again.indices.to_numpy().astype(np.int64), len(again.dictionary)
    firsts = np.empty(count, np.int64)
    firsts[codes[::-1]] = np.arange(len(codes))[::-1]
    return codes, firsts


def _as_key(column: pa.Array) -> pa.Array | None:
    """``column`` as large_string or float64, which can be told apart by value; ``None`` where it is neither."""
    if _is_text(column.type):
        return decode_dictionary(column).cast(pa.large_string())
    return decode_dictionary(column).cast(pa.float64(), safe=False) if _is_number(column.type) else None


class LineRows:
    """Finds the clips that JSON lines name, row by row."""

    def __init__(self, columns: Columns) -> None:
        self._columns = columns
        self._keep = not columns.overwrite and bool(columns.mean and columns.var)
        self._missing = bool(columns.path)
        self._names: dict[str, None] = {}  # while no row has the column

    def find_clips(self, chunk: ParsedLines, first_row: int) -> RowBatch[Lines]:
        """``chunk`` with a code for each row. A row without a path, or whose path is not text, has an empty one."""
        columns, keep = self._columns, self._keep
        mean, var = columns.mean, columns.var
        names = columns.path, columns.width, columns.height, columns.pix_fmt
        if self._missing:
            self._look_for_path_column(chunk.rows)
        codes = []
        index: dict[ClipReference, int] = {}

        def find_code(*values: Any) -> int:
            return index.setdefault(_make_clip(*values), len(index))

        # Making a clip takes 1.2 µs, ten times as long as knowing it again. Typed, because true is not 1.
        find_again = lru_cache(None, typed=True)(find_code)
        for row in chunk.rows:
            if keep and _is_finite(row.get(mean)) and _is_finite(row.get(var)):
                codes.append(SKIPPED)
                continue
            try:
                codes.append(find_again(*map(row.get, names)))
            except TypeError:  # a list or an object, which has no hash
                codes.append(find_code(*map(row.get, names)))
        lines = Lines(chunk.texts, chunk.keys, chunk.trailer)
        return RowBatch(first_row, np.asarray(codes, np.int32), tuple(index), lines)

    def end(self) -> None:
        """There are no more lines. Raises ``InputError`` where there were rows and none had the path column."""
        if self._missing and self._names:
            raise _explain_absence(self._columns.path, list(self._names))

    def _look_for_path_column(self, rows: Sequence[dict[str, Any]]) -> None:
        for row in rows:
            if self._columns.path in row:
                self._missing = False
                return
            if len(self._names) < _MOST_NAMES:
                self._names.update(dict.fromkeys(row))


def _make_clip(path: Any, width: Any, height: Any, pixel_format: Any) -> ClipReference:
    return ClipReference(
        path if isinstance(path, str) else "",
        _read_size(width),
        _read_size(height),
        pixel_format if isinstance(pixel_format, str) and pixel_format else None,
    )


def _read_size(value: Any) -> int | None:
    """``value`` in pixels, ``None`` where it is no positive whole number that FFmpeg takes; in CSV it is text."""
    if isinstance(value, str) and value.strip().isdecimal() and len(value) < 20:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if 0 < value <= _MOST_PIXELS and value == int(value) else None


def _is_finite(value: Any) -> bool:
    return type(value) in (float, int) and -_INFINITY < value < _INFINITY


def _find_path_column(schema: pa.Schema, name: str) -> int:
    index = column_index(schema, name)
    if index is None:
        raise _explain_absence(name, schema.names)
    kind = schema.field(index).type
    if not _is_text(kind):
        raise InputError(f"column {name!r} (--path-column) is {kind}, not text: name the column with the clips' paths")
    return index


def _explain_absence(name: str, names: Sequence[str]) -> InputError:
    close = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    has = ", ".join(map(repr, names)) or "none"
    return InputError(f"no column {name!r} (--path-column); {hint}the input's columns: {has}")


def _is_text(kind: pa.DataType) -> bool:
    """Whether ``kind`` is text, or that of a column of nulls, which may be anything."""
    types = pa.types
    kind = kind.value_type if types.is_dictionary(kind) else kind
    return bool(
        types.is_null(kind) or types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)
    )


def _is_number(kind: pa.DataType) -> bool:
    types = pa.types
    kind = kind.value_type if types.is_dictionary(kind) else kind
    return bool(types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind))


def _fits(kind: pa.DataType, role: str) -> bool:
    """Whether a column of ``kind`` may hold what the run writes for ``role``, so that writing over it loses nothing."""
    if role not in NUMBER_ROLES:
        return _is_text(kind)
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    # A decimal of more digits than a float64 keeps would become another number in the rows that are left alone.
    return pa.types.is_null(kind) or (_is_number(kind) and not (pa.types.is_decimal(kind) and kind.precision > 15))
