"""What rows ask for: which already have a saliency, and which clip each of the others names."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from saliency_engine.config import NUMBER_ROLES, RunConfig
from saliency_engine.errors import InputError
from saliency_engine.tables.dictionaries import decoded
from saliency_engine.tables.jsonl_lines import Lines, ParsedLines
from saliency_engine.types import ClipReference, RowBatch

_INFINITY = float("inf")
_MOST_PIXELS = 2**31 - 1  # FFmpeg's own bound


def from_batches(batches: Iterable[pa.RecordBatch], config: RunConfig) -> Iterator[RowBatch[pa.RecordBatch]]:
    """One ``RowBatch`` for each of ``batches``, which must share one schema.

    Raises ``InputError`` as ``ArrowRows`` does, and where a batch's schema differs from the first one's.
    """
    rows: ArrowRows | None = None
    first_row = 0
    for batch in batches:
        rows = rows or ArrowRows(batch.schema, config)
        if not batch.schema.equals(rows.schema):
            raise InputError(f"the batch at row {first_row} has another schema than the first batch")
        yield rows.plan(batch, first_row)
        first_row += batch.num_rows


def column_index(schema: pa.Schema, name: str) -> int | None:
    """Where the column ``name`` is, ``None`` without one; raises ``InputError`` where two bear the name."""
    found: list[int] = schema.get_all_field_indices(name) if name else []
    if len(found) > 1:
        raise InputError(f"the input has {len(found)} columns named {name!r}")
    return found[0] if found else None


class ArrowRows:
    """Plans the record batches of one schema, column by column.

    Raises ``InputError`` when the path column is absent or is not text.
    """

    def __init__(self, schema: pa.Schema, config: RunConfig) -> None:
        self.schema = schema
        self._path = _path_index(schema, config.path_column)
        keys = (config.width_column, config.height_column, config.pix_fmt_column)
        self._width, self._height, self._pixel_format = (column_index(schema, name) for name in keys)
        existing = [column_index(schema, name) for name in (config.mean_column, config.var_column)]
        keep = not config.overwrite and all(i is not None and _is_number(schema.field(i).type) for i in existing)
        self._existing = existing if keep else []

    def plan(self, batch: pa.RecordBatch, first_row: int) -> RowBatch[pa.RecordBatch]:
        """``batch`` with a code for each row; raises ``InputError`` for a path that is not UTF-8."""
        codes = np.full(batch.num_rows, -1, np.int32)
        todo = self._todo(batch)
        if not len(todo):
            return RowBatch(first_row, codes, (), batch)
        codes[todo], sources = self._sources(batch, todo, first_row)
        return RowBatch(first_row, codes, sources, batch)

    def _todo(self, batch: pa.RecordBatch) -> NDArray[np.int64]:
        """The rows without a finite mean and variance."""
        if not self._existing:
            return np.arange(batch.num_rows)
        mean, var = (pc.is_finite(decoded(batch.column(i))) for i in self._existing)
        done = pc.fill_null(pc.and_(mean, var), False)
        if done.true_count == batch.num_rows:  # the common case of a second run
            return np.empty(0, np.int64)
        return np.flatnonzero(~done.to_numpy(zero_copy_only=False))

    def _sources(
        self, batch: pa.RecordBatch, todo: NDArray[np.int64], first_row: int
    ) -> tuple[NDArray[np.int32], tuple[ClipReference, ...]]:
        """A code for each row in ``todo``, and the sources that the codes index."""
        places = (self._path, self._width, self._height, self._pixel_format)
        keys = [None if place is None else _as_key(batch.column(place)) for place in places]
        if len(todo) < batch.num_rows:
            keys = [None if key is None else key.take(pa.array(todo)) for key in keys]
        codes, firsts = _distinct([key for key in keys if key is not None])
        try:
            values = [[None] * len(firsts) if key is None else key.take(firsts).to_pylist() for key in keys]
        except UnicodeDecodeError as error:
            raise InputError(f"a path or pixel format in or after row {first_row} is not UTF-8: {error}") from error
        index: dict[ClipReference, int] = {}  # raw keys that differ may mean the same: width null and width -1
        same = [index.setdefault(_source(*key), len(index)) for key in zip(*values, strict=True)]
        return np.asarray(same, np.int32)[codes], tuple(index)


def _distinct(keys: Sequence[pa.Array]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """``[rows]`` codes of the distinct key tuples, numbered as they appear, and the first row of each code."""
    codes, count = np.zeros(len(keys[0]), np.int64), 1
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
        return decoded(column).cast(pa.large_string())
    return decoded(column).cast(pa.float64(), safe=False) if _is_number(column.type) else None


class LineRows:
    """Plans JSON lines, row by row."""

    def __init__(self, config: RunConfig) -> None:
        self._config = config
        self._keep = not config.overwrite and bool(config.mean_column and config.var_column)

    def plan(self, chunk: ParsedLines, first_row: int) -> RowBatch[Lines]:
        """``chunk`` with a code for each row; a path that is absent or no text counts as empty."""
        config, keep = self._config, self._keep
        mean_column, var_column = config.mean_column, config.var_column
        names = config.path_column, config.width_column, config.height_column, config.pix_fmt_column
        codes = []
        index: dict[ClipReference, int] = {}

        @lru_cache(None, typed=True)  # making a Source takes 1.2 µs, ten times as long; true is not 1
        def code(*values: Any) -> int:
            return index.setdefault(_source(*values), len(index))

        for row in chunk.rows:
            if keep and _is_finite(row.get(mean_column)) and _is_finite(row.get(var_column)):
                codes.append(-1)
                continue
            try:
                codes.append(code(*map(row.get, names)))
            except TypeError:  # a list or an object, which has no hash
                codes.append(code.__wrapped__(*map(row.get, names)))
        lines = Lines(chunk.texts, chunk.keys, chunk.trailer)
        return RowBatch(first_row, np.asarray(codes, np.int32), tuple(index), lines)


def line_columns(config: RunConfig) -> dict[str, frozenset[type]]:
    """The output columns' names, with the types that a JSON line's value may have there before a run writes it."""
    number: frozenset[type] = frozenset({int, float, type(None)})
    text: frozenset[type] = frozenset({str, type(None)})
    roles = config.output_columns.items()
    return {name: number if role in NUMBER_ROLES else text for role, name in roles if name}


def _source(path: Any, width: Any, height: Any, pixel_format: Any) -> ClipReference:
    return ClipReference(
        path if isinstance(path, str) else "",
        _pixels(width),
        _pixels(height),
        pixel_format if isinstance(pixel_format, str) and pixel_format else None,
    )


def _pixels(value: Any) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if 0 < value <= _MOST_PIXELS and value == int(value) else None


def _is_finite(value: Any) -> bool:
    return type(value) in (float, int) and -_INFINITY < value < _INFINITY


def _path_index(schema: pa.Schema, name: str) -> int:
    index = column_index(schema, name)
    if index is None:
        close = difflib.get_close_matches(name, schema.names, n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        has = ", ".join(map(repr, schema.names)) or "none"
        raise InputError(f"no column {name!r} (--path-column); {hint}the input's columns: {has}")
    kind = schema.field(index).type
    if not _is_text(kind):
        raise InputError(f"column {name!r} (--path-column) is {kind}, not text")
    return index


def _is_text(kind: pa.DataType) -> bool:
    """Text, or a column of nulls, which may be anything."""
    types = pa.types
    kind = kind.value_type if types.is_dictionary(kind) else kind
    return bool(
        types.is_null(kind) or types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)
    )


def _is_number(kind: pa.DataType) -> bool:
    types = pa.types
    kind = kind.value_type if types.is_dictionary(kind) else kind
    return bool(types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind))
