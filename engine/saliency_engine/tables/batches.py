"""Rows on their way in: checked, cut into pieces, and each piece with its place in the file."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

import pyarrow as pa

from saliency_engine.errors import InputError

BATCH_ROWS = 16384  # larger batches are read and written no faster
BATCH_BYTES = 2 << 20  # twice as much cost 10 MB more and was no faster; half as much took a fifth longer


class CheckedBatches:
    """``batches`` one by one, each checked as far as Arrow can. Iterating raises ``InputError`` naming the column.

    Arrow takes offsets, dictionary indices and text as they are in the file: a wrong offset makes it read outside its
    memory later on, and a wrong index (from Parquet, too) would be written into the output.
    """

    def __init__(self, batches: Iterable[pa.RecordBatch]) -> None:
        self.rows = 0
        """Rows given out so far."""
        self._batches = batches

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        for batch in self._batches:
            for name, column in zip(batch.schema.names, batch.columns, strict=True):
                try:
                    column.validate(full=True)
                except pa.ArrowInvalid as error:
                    raise InputError(f"column {name!r}, in or after row {self.rows}: {error}") from error
            self.rows += batch.num_rows
            yield batch


def cut_batch(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """``batch`` in pieces of at most ``BATCH_ROWS`` rows and about ``BATCH_BYTES``; nothing for one without rows."""
    if not batch.num_rows:
        return
    rows = min(BATCH_ROWS, max(1, BATCH_BYTES * batch.num_rows // max(batch.nbytes, 1)))
    if rows >= batch.num_rows or any(_has_views(kind, nested=False) for kind in batch.schema.types):
        yield batch
        return
    for start in range(0, batch.num_rows, rows):
        yield _compact(batch.slice(start, rows))


def _compact(batch: pa.RecordBatch) -> pa.RecordBatch:
    """``batch`` with views of its own bytes: a slice of views keeps, and is written with, the bytes of them all."""
    columns = list(batch.columns)
    for i, column in enumerate(columns):
        if pa.types.is_string_view(column.type) or pa.types.is_binary_view(column.type):
            whole = pa.large_string() if pa.types.is_string_view(column.type) else pa.large_binary()
            columns[i] = column.cast(whole).cast(column.type)
    return pa.RecordBatch.from_arrays(columns, schema=batch.schema)


def _has_views(kind: pa.DataType, *, nested: bool) -> bool:
    """Whether there are views inside ``kind``, where ``_compact`` does not reach: such a batch is not cut up."""
    if isinstance(kind, pa.BaseExtensionType):
        return _has_views(kind.storage_type, nested=True)
    types = pa.types
    views = types.is_string_view(kind) or types.is_binary_view(kind)
    lists = types.is_list_view(kind) or types.is_large_list_view(kind)
    inside = (kind.field(i).type for i in range(kind.num_fields))
    return lists or (views and nested) or any(_has_views(child, nested=True) for child in inside)


def with_position(pieces: Iterable[Any], file: BinaryIO) -> Iterator[tuple[float | None, Any]]:
    """Each piece with the part of ``file`` that has been read by then, in [0, 1]; ``None`` where it has no size."""
    status = os.fstat(file.fileno()) if file.seekable() else None
    size = status.st_size if status and stat.S_ISREG(status.st_mode) else 0
    for piece in pieces:
        yield (min(file.tell() / size, 1.0) if size else None), piece
