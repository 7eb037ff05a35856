"""Between JSON lines and Arrow: batches written as lines, and the one schema that many lines share."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from typing import Any

import pyarrow as pa

from saliency_engine.errors import InputError
from saliency_engine.jsonl import ParsedLines

_TypeOnLine = tuple[pa.DataType, int]
_REFUSALS = (pa.ArrowException, ValueError, TypeError, OverflowError)


def to_lines(batch: pa.RecordBatch) -> Iterator[bytes]:
    """Each row of ``batch`` as a JSON object and a line feed, keys in column order, nulls written as null.

    NaN and infinities are the literals Python's json writes and reads. Dates, times and timestamps are ISO text
    (with their offset where the type has a zone), durations whole numbers of their unit, decimals text, binary
    base64, maps arrays of [key, value] pairs, extension types their storage.
    """
    names = batch.schema.names
    portable = [_portable(column.type) for column in batch.columns]
    columns = [
        (column if column.type == kind else column.cast(kind)).to_pylist()
        for column, kind in zip(batch.columns, portable, strict=True)
    ]
    encode = json.JSONEncoder(ensure_ascii=False, default=_default).encode
    for values in zip(*columns, strict=True):
        yield encode(dict(zip(names, values, strict=True))).encode() + b"\n"


def _default(value: object) -> str:
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    raise TypeError(f"a {type(value).__name__} has no JSON form")


def _portable(kind: pa.DataType) -> pa.DataType:
    """``kind`` with the parts that ``to_pylist`` cannot give or JSON cannot take replaced by ones they can.

    Nanoseconds are why times become text inside Arrow: as Python objects they would need pandas.
    """
    types = pa.types
    plain = kind
    if isinstance(kind, pa.BaseExtensionType):
        plain = _portable(kind.storage_type)
    elif types.is_dictionary(kind):
        plain = _portable(kind.value_type)
    elif types.is_timestamp(kind) or types.is_date(kind) or types.is_time(kind):
        plain = pa.string()
    elif types.is_duration(kind):
        plain = pa.int64()
    elif types.is_struct(kind):
        plain = pa.struct([kind.field(i).with_type(_portable(kind.field(i).type)) for i in range(kind.num_fields)])
    elif types.is_map(kind):
        plain = pa.map_(_portable(kind.key_type), _portable(kind.item_type))
    elif types.is_fixed_size_list(kind):
        plain = pa.list_(_portable(kind.value_type), kind.list_size)
    elif types.is_list(kind) or types.is_large_list(kind):
        make = pa.list_ if types.is_list(kind) else pa.large_list
        plain = make(kind.value_field.with_type(_portable(kind.value_type)))
    return plain


def infer_schema(chunks: Iterable[ParsedLines], name: str) -> pa.Schema:
    """The schema that fits every row, fields in the order they are first seen.

    Whole numbers beside fractions become float64, nulls take any type, objects and arrays unite part by part.
    Raises ``InputError`` naming the column, the types and the lines where no type fits.
    """
    found: dict[str, _TypeOnLine] = {}
    for chunk in chunks:
        seen = dict.fromkeys(key for row in chunk.rows for key in row)
        for key in seen:
            values = [row.get(key) for row in chunk.rows]
            known = found.get(key, (pa.null(), chunk.numbers[0]))
            try:
                kind = _unite(known[0], pa.array(values).type)
            except _REFUSALS:
                raise _conflict(key, known, values, chunk.numbers, name) from None
            line = known[1] if known[0] != pa.null() else chunk.numbers[_first(values)]
            found[key] = kind, line
    return pa.schema([(key, kind) for key, (kind, _) in found.items()])


def _first(values: Sequence[Any]) -> int:
    return next((i for i, value in enumerate(values) if value is not None), 0)


def _unite(one: pa.DataType, other: pa.DataType) -> pa.DataType:
    if one == other:
        return one
    schemas = [pa.schema([("x", kind)]) for kind in (one, other)]
    return pa.unify_schemas(schemas, promote_options="permissive").field(0).type


def _conflict(key: str, known: _TypeOnLine, values: Sequence[Any], lines: Sequence[int], name: str) -> InputError:
    """The first value that does not fit those before it, found one by one: only a run that fails pays for it."""
    for value, line in zip(values, lines, strict=True):
        try:
            kind = pa.array([value]).type
            united = _unite(known[0], kind)
        except OverflowError:
            return InputError(f"{name}, line {line}: column {key!r}: an integer beyond 64 bits has no Arrow type")
        except pa.ArrowException:
            return InputError(f"{name}, line {line}: column {key!r} is {kind} here but {known[0]} on line {known[1]}")
        except _REFUSALS as error:
            return InputError(f"{name}, line {line}: column {key!r}: {error}")
        known = united, known[1] if known[0] != pa.null() else line
    return _misfit(pa.field(key, known[0]), values, lines, name)  # a whole number that no float64 equals, for one


def to_batch(chunk: ParsedLines, schema: pa.Schema, name: str) -> pa.RecordBatch:
    """``chunk``'s rows as a batch of ``schema``; absent keys are null. Raises ``InputError`` as ``infer_schema``."""
    columns = []
    for field in schema:
        values = [row.get(field.name) for row in chunk.rows]
        try:
            columns.append(pa.array(values, field.type))
        except _REFUSALS:
            raise _misfit(field, values, chunk.numbers, name) from None
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _misfit(field: pa.Field, values: Sequence[Any], lines: Sequence[int], name: str) -> InputError:
    for value, line in zip(values, lines, strict=True):
        try:
            pa.array([value], field.type)
        except _REFUSALS as error:
            return InputError(f"{name}, line {line}: column {field.name!r} as {field.type}: {error}")
    return InputError(f"{name}, lines {lines[0]} to {lines[-1]}: column {field.name!r} does not fit {field.type}")
