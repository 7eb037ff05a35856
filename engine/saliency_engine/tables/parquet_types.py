"""Parquet's own types that PyArrow reads as something else by default, read so that no value changes.

INT96 timestamps become nanoseconds, which hold the years 1677 to 2262 only: 9999-12-31 came out as 1816-03-29. ENUMs,
which are text, become bytes. Of intervals, geometries and variants the bytes alone would be left.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from saliency_engine.errors import InputError
from saliency_engine.tables.times import parts_of

_BYTES_ALONE = frozenset({"Interval", "Geometry", "Geography", "Undefined"})
_UNITS = ("ns", "us", "s")


def choose_int96_unit(file: pq.ParquetFile, open_file: Callable[[str], pq.ParquetFile], rows: int) -> str | None:
    """The unit in which every INT96 timestamp of ``file`` keeps its value; ``None`` where there are none.

    ``open_file`` opens it with a unit for INT96; these columns alone are read, ``rows`` at a time. Raises
    ``InputError`` naming the columns where neither nanoseconds nor microseconds hold them all.
    """
    schema = file.schema
    paths = [schema.column(i).path for i in range(len(schema)) if schema.column(i).physical_type == "INT96"]
    if not paths:
        return None
    misfits: dict[str, str] = {}
    names = sorted({_column_of(path, file.schema_arrow.names) for path in paths})
    readers = [open_file(unit).iter_batches(rows, columns=names, use_threads=False) for unit in _UNITS]
    for batches in zip(*readers, strict=True):
        for at, name in enumerate(batches[0].schema.names):
            for nano, micro, second in zip(*(_timestamps(batch.column(at)) for batch in batches), strict=True):
                if (micro // 1_000_000 != second).any():
                    raise InputError(f"column {name!r} has INT96 timestamps that 64 bits of microseconds do not hold")
                if (nano // 1000 != micro).any():  # nanoseconds that do not fit come out wrapped around
                    misfits.setdefault("ns", name)
                if (micro * 1000 != nano).any():  # wraps around as nanoseconds do
                    misfits.setdefault("us", name)
    if len(misfits) == len(_UNITS) - 1:
        raise InputError(
            f"column {misfits['ns']!r} has INT96 timestamps outside the years 1677 to 2262, and column "
            f"{misfits['us']!r} has some with nanoseconds: write one of them with another type"
        )
    return "us" if "ns" in misfits else "ns"


def fit_schema_in(file: pq.ParquetFile) -> pa.Schema:
    """The schema of the file's rows as they are to be: PyArrow's, with ENUMs as text.

    Raises ``InputError`` naming a column of which PyArrow would keep the bytes and not the meaning.
    """
    schema, leaves = file.schema_arrow, file.schema
    kinds = [orjson.loads(leaves.column(i).logical_type.to_json())["Type"] for i in range(len(leaves))]
    for i, kind in enumerate(kinds):
        if kind in _BYTES_ALONE:
            name = _column_of(leaves.column(i).path, schema.names)
            raise InputError(f"column {name!r} holds a Parquet {kind}, which PyArrow cannot read: leave the column out")
    if "Enum" not in kinds:
        return schema
    of_leaves = iter(kinds)
    return pa.schema([field.with_type(_with_text(field.type, of_leaves)) for field in schema], schema.metadata)


def fit_columns(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """``batch`` in ``fit_schema_in``'s ``schema``. Raises ``InputError`` for an ENUM that is not UTF-8."""
    columns = list(batch.columns)
    for i, field in enumerate(schema):
        if columns[i].type != field.type:
            try:
                columns[i] = columns[i].cast(field.type)
            except pa.ArrowInvalid as error:
                raise InputError(f"column {field.name!r}: {error}") from error
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _with_text(kind: pa.DataType, leaves: Iterator[str]) -> pa.DataType:
    """``kind`` with text where the next ones of ``leaves``, Parquet's types of its parts, are ENUMs."""
    types = pa.types
    if isinstance(kind, pa.BaseExtensionType):
        _with_text(kind.storage_type, leaves)
        return kind
    if types.is_map(kind):
        return pa.map_(_with_text(kind.key_type, leaves), _with_text(kind.item_type, leaves))
    if types.is_nested(kind):
        fields = [kind.field(i) for i in range(kind.num_fields)]
        fields = [field.with_type(_with_text(field.type, leaves)) for field in fields]
        if types.is_struct(kind):
            return pa.struct(fields)
        if types.is_fixed_size_list(kind):
            return pa.list_(fields[0], kind.list_size)
        return pa.large_list(fields[0]) if types.is_large_list(kind) else pa.list_(fields[0])
    return pa.string() if next(leaves) == "Enum" and types.is_binary(kind) else kind


def _timestamps(column: pa.Array) -> Iterator[NDArray[np.int64]]:
    """The values of every part of ``column`` that has timestamps, without nulls."""
    for part in parts_of(column):
        if pa.types.is_timestamp(part.type):
            yield part.drop_null().view(pa.int64()).to_numpy()


def _column_of(path: str, names: Sequence[str]) -> str:
    """The one of the columns ``names`` that the leaf ``path`` belongs to; a name may have dots, too."""
    return max((name for name in names if f"{path}.".startswith(f"{name}.")), key=len)
