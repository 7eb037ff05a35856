"""Rows that a program has in memory: whatever hands out an Arrow stream, as tables of many libraries do."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol, runtime_checkable

import pyarrow as pa

from saliency_engine.errors import InputError


@runtime_checkable
class ArrowStream(Protocol):
    """Anything with ``__arrow_c_stream__``: tables of pandas, polars and PyArrow, relations of DuckDB, readers."""

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """A capsule with the stream, as the Arrow PyCapsule interface has it."""
        ...


def open_stream(rows: Any) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    """The schema of ``rows``, which has ``__arrow_c_stream__``, and its record batches. Raises ``InputError``."""
    if not isinstance(rows, ArrowStream):
        raise InputError(
            f"rows of type {type(rows).__name__} are not a table: give one of pandas, polars, DuckDB or PyArrow, or "
            "anything else that has __arrow_c_stream__ (a polars LazyFrame has it after collect())"
        )
    with _reading():
        reader = pa.RecordBatchReader.from_stream(rows)
    return reader.schema, _read(reader)


def iterate_batches(rows: ArrowStream | Iterable[ArrowStream]) -> Iterator[pa.RecordBatch]:
    """The record batches of a table, or of several one after the other. Raises ``InputError``."""
    if isinstance(rows, ArrowStream) or not isinstance(rows, Iterable):
        yield from open_stream(rows)[1]
        return
    for part in rows:
        if isinstance(part, pa.RecordBatch):
            yield part
        else:
            yield from open_stream(part)[1]


def collect(batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> pa.Table:
    """The table of ``batches``, all of ``schema``."""
    return pa.Table.from_batches(batches, schema)


def _read(reader: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
    with _reading():
        yield from reader


@contextmanager
def _reading() -> Iterator[None]:
    try:
        yield
    except pa.ArrowException as error:
        raise InputError(f"the table does not become Arrow: {error}") from error
