"""Rows of our own making as record batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

import pyarrow as pa

_KINDS = {
    "text": pa.string(),
    "whole": pa.int64(),
    "number": pa.float64(),
    "numbers": pa.list_(pa.float64()),
    "matrix": pa.list_(pa.list_(pa.float64())),
}
_ROWS = 1024


def schema_of(columns: Mapping[str, str]) -> pa.Schema:
    """The schema of rows with these columns, each of one of the kinds text, whole, number, numbers and matrix."""
    return pa.schema([(name, _KINDS[kind]) for name, kind in columns.items()])


def make_batches(rows: Iterable[Mapping[str, Any]], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """``rows`` as batches of ``schema``; a column that a row lacks is null there.

    Text that is no UTF-8, as in file names, is written with escapes.
    """
    left = iter(rows)
    while batch := list(islice(left, _ROWS)):
        yield pa.RecordBatch.from_pylist(
            [{name: _as_utf8(value) for name, value in row.items()} for row in batch], schema
        )


def _as_utf8(value: Any) -> Any:
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value
