"""Dates and times, wherever they are in a column: whether what they become is the same date or time."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from saliency_engine.errors import OutputError

_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_LOWEST, _HIGHEST = -1_096_000_000_000, 971_000_000_000
"""Seconds since 1970, in the years -32,761 and 32,739: beyond the year 32767 Arrow writes other years, or an excuse."""


def parts_of(column: pa.Array) -> Iterator[pa.Array]:
    """The columns that ``column`` is made of, mostly without what lies beneath nulls; itself, if it is not nested."""
    kind, types = column.type, pa.types
    parts: list[pa.Array] = []
    if isinstance(kind, pa.BaseExtensionType):
        parts = [column.storage]
    elif types.is_dictionary(kind):
        parts = [column.dictionary]
    elif types.is_run_end_encoded(kind):
        parts = [column.values]
    elif types.is_struct(kind):
        parts = column.flatten()
    elif types.is_map(kind):
        parts = [column.keys, column.items]
    elif types.is_union(kind):
        parts = [column.field(i) for i in range(kind.num_fields)]
    elif types.is_nested(kind):
        parts = [column.flatten()]
    else:
        yield column
    for part in parts:
        yield from parts_of(part)


def has_times(kind: pa.DataType) -> bool:
    """Whether there are dates or timestamps anywhere in ``kind``."""
    if isinstance(kind, pa.BaseExtensionType):
        return has_times(kind.storage_type)
    inside = [kind.value_type] if pa.types.is_dictionary(kind) else [kind.field(i).type for i in range(kind.num_fields)]
    return bool(pa.types.is_timestamp(kind) or pa.types.is_date(kind)) or any(map(has_times, inside))


def check_for_text(name: str, column: pa.Array) -> None:
    """Raise ``OutputError`` where a date or timestamp in ``column`` is beyond those that Arrow can write as text."""
    for part in parts_of(column):
        kind, per_second = part.type, 0.0
        if pa.types.is_timestamp(kind):
            per_second = _PER_SECOND[kind.unit]
        elif pa.types.is_date(kind):
            per_second = 1e3 if pa.types.is_date64(kind) else 1 / 86_400
        if per_second:
            bounds = pc.min_max(part.view(pa.int32() if pa.types.is_date32(kind) else pa.int64())).as_py()
            for value in bounds.values():
                if value is not None and not _LOWEST * per_second < value < _HIGHEST * per_second:
                    raise OutputError(f"column {name!r} has a {kind} that cannot be written as text: {value}")


def check_for_parquet(name: str, column: pa.Array) -> None:
    """Raise ``OutputError`` where a ``date64`` in ``column`` is beyond the days that Parquet's DATE has."""
    for part in parts_of(column):
        if pa.types.is_date64(part.type):
            try:
                part.cast(pa.date32())
            except pa.ArrowInvalid as error:
                raise OutputError(f"column {name!r}: {error}") from error
