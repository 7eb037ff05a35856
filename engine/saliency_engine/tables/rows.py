"""Which rows already have a saliency, and which clip each of the others names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial, reduce
from math import isnan

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from saliency_engine.config import NUMBER_ROLES
from saliency_engine.errors import InputError
from saliency_engine.tables.clip_values import explain_absence, make_clip
from saliency_engine.tables.columns import Columns, column_index, option_of
from saliency_engine.tables.dictionaries import decode_dictionary
from saliency_engine.tables.row_tags import ArrowTags
from saliency_engine.tags import Tags
from saliency_engine.types import SKIPPED, ClipReference, RowBatch


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
        self._columns = columns
        paths = [_find_path_column(schema, name, columns) for name in columns.of_paths]
        self._keys = [*paths, *(column_index(schema, name) for name in columns.of_clips[len(paths) :])]
        self._results = [] if columns.overwrite else _find_numbers(schema, (columns.mean, columns.var))
        self._extras = _find_numbers(schema, columns.extras)
        self._tags = ArrowTags(schema, columns)
        written = ((column_index(schema, name), role) for name, role in columns.roles.items())
        self._clashing = {i: role for i, role in written if i is not None and not _fits(schema.field(i).type, role)}

    def find_clips(self, batch: pa.RecordBatch, first_row: int) -> RowBatch[pa.RecordBatch]:
        """``batch`` with a code for each row.

        Raises ``InputError`` for a path that is not UTF-8, for a value of another kind where the run writes, and for
        tags that the run would change beside numbers that it does not write. Nulls are right in every column.
        """
        for i, role in self._clashing.items():
            if batch.column(i).null_count < batch.num_rows:
                wanted, option = "a number" if role in NUMBER_ROLES else "text", option_of(role)
                raise InputError(
                    f"column {self.schema.names[i]!r} is {self.schema.field(i).type}, but this run writes {wanted} "
                    f"there, in or after row {first_row}: rename it, or name another column with {option}"
                )
        codes = np.full(batch.num_rows, SKIPPED, np.int32)
        todo = self._find_lacking(batch, self._results)
        completed: dict[Tags, int] = {}
        if self._columns.extras and len(todo) < batch.num_rows:
            done = np.setdiff1d(np.arange(batch.num_rows), todo)
            todo = np.union1d(todo, self._find_lacking(batch, self._extras))
            completed = self._tags.count(batch, np.setdiff1d(np.arange(batch.num_rows), np.intersect1d(done, todo)))
        kept = self._tags.count(batch, todo)
        if not len(todo):
            return RowBatch(first_row, codes, (), batch, kept, completed)
        self._tags.refuse_renaming(batch, todo, first_row)
        codes[todo], clips = self._number_clips(batch, todo, first_row)
        return RowBatch(first_row, codes, clips, batch, kept, completed)

    def _find_lacking(self, batch: pa.RecordBatch, places: Sequence[int]) -> NDArray[np.int64]:
        """The rows without a finite number in each of the columns at ``places``; all, where there are no places."""
        if not places:
            return np.arange(batch.num_rows)
        finite = (pc.is_finite(decode_dictionary(batch.column(i))) for i in places)
        done = pc.fill_null(reduce(pc.and_, finite), False)
        if done.true_count == batch.num_rows:  # the common case of a second run
            return np.empty(0, np.int64)
        return np.flatnonzero(~done.to_numpy(zero_copy_only=False))

    def _number_clips(
        self, batch: pa.RecordBatch, todo: NDArray[np.int64], first_row: int
    ) -> tuple[NDArray[np.int32], tuple[ClipReference, ...]]:
        """A code for each row in ``todo``, and the clips that the codes index."""
        keys = [None if place is None else _as_key(batch.column(place)) for place in self._keys]
        if self._columns.template:
            parts = [_spell(batch.column(place)) for place in self._keys[: len(self._columns.of_paths)]]
            keys = [*parts, *keys[len(parts) :]]
        if len(todo) < batch.num_rows:
            keys = [None if key is None else key.take(pa.array(todo)) for key in keys]
        codes, firsts = _number_keys([key for key in keys if key is not None], len(todo))
        try:
            values = [[None] * len(firsts) if key is None else key.take(firsts).to_pylist() for key in keys]
        except UnicodeDecodeError as error:
            raise InputError(f"a path or pixel format in or after row {first_row} is not UTF-8: {error}") from error
        index: dict[ClipReference, int] = {}  # raw keys that differ may mean the same: width null and width -1
        make = partial(make_clip, self._columns)
        clip_codes = [index.setdefault(make(*key), len(index)) for key in zip(*values, strict=True)]
        return np.asarray(clip_codes, np.int32)[codes], tuple(index)


def _find_numbers(schema: pa.Schema, names: Sequence[str]) -> list[int]:
    """Where the columns ``names`` are, if all are there and hold numbers; else nowhere."""
    places = [column_index(schema, name) for name in names]
    numbers = [place for place in places if place is not None and _is_number(schema.field(place).type)]
    return numbers if len(numbers) == len(places) else []


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


def _spell(column: pa.Array) -> pa.Array:
    """``column`` as large_string: text and whole numbers as they are, fractions as Python writes them."""
    plain = decode_dictionary(column)
    if pa.types.is_floating(plain.type):
        texts = [None if value is None or isnan(value) else str(value) for value in plain.to_pylist()]
        return pa.array(texts, pa.large_string())
    return plain.cast(pa.large_string())


def _find_path_column(schema: pa.Schema, name: str, columns: Columns) -> int:
    index = column_index(schema, name)
    if index is None:
        raise explain_absence(columns, name, schema.names)
    kind = schema.field(index).type
    if columns.template and not (_is_text(kind) or _is_number(kind)):
        raise InputError(f"column {name!r} is {kind}, but the clips' paths are made of text and numbers: convert it")
    if not columns.template and not _is_text(kind):
        raise InputError(f"column {name!r} (--path-column) is {kind}, not text: name the column with the clips' paths")
    return index


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
