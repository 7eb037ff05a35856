"""Between JSON lines and Arrow: batches written as lines, lines read as batches."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any

import pyarrow as pa

from saliency_engine.errors import OutputError
from saliency_engine.tables.jsonl_lines import ParsedLines, Reject
from saliency_engine.tables.times import check_for_text, has_times


def to_lines(batch: pa.RecordBatch) -> Iterator[bytes]:
    """Each row of ``batch`` as a JSON object and a line feed, keys in column order, nulls written as null.

    NaN and infinities are the literals Python's json writes and reads. Dates, times and timestamps are ISO text
    (with their offset where the type has a zone), durations whole numbers of their unit, intervals [months, days,
    nanoseconds], decimals text, binary base64, maps arrays of [key, value] pairs, extension types their storage.

    Raises ``OutputError`` naming the column of a value that has no such form.
    """
    names = batch.schema.names
    for values in zip(*list_columns(batch), strict=True):
        yield _encode(dict(zip(names, values, strict=True))).encode() + b"\n"


def list_columns(batch: pa.RecordBatch) -> list[list[Any]]:
    """The values of each column as ``to_lines`` takes them; raises ``OutputError`` as it does."""
    return [_list_column(name, column) for name, column in zip(batch.schema.names, batch.columns, strict=True)]


def as_json_text(value: Any) -> str:
    """One of these values as text: as it would be between quotes in JSON, or as JSON where it is an array or object."""
    return _encode(value) if isinstance(value, list | dict) else _as_text(value)


def find_repeated_keys(schema: pa.Schema) -> set[str]:
    """Names that would be the key of two fields of one JSON object: column names, and those inside structs."""
    repeated = {name for name in schema.names if schema.names.count(name) > 1}
    nested = list(schema.types)
    for kind in nested:  # grows
        children = [kind.field(i) for i in range(kind.num_fields)] if hasattr(kind, "num_fields") else []
        names = [child.name for child in children] if pa.types.is_struct(kind) else []
        repeated |= {name for name in names if names.count(name) > 1}
        nested += [child.type for child in children]
    return repeated


def _list_column(name: str, column: pa.Array) -> list[Any]:
    if has_times(column.type):
        check_for_text(name, column)
    try:
        return _list_values(column)
    except pa.ArrowException as error:  # a time zone that is not known here
        raise OutputError(f"column {name!r}: {error}") from error


def _list_values(column: pa.Array) -> list[Any]:
    if _is_odd(column.type):
        return [_convert(scalar) for scalar in column]
    kind = _portable_type(column.type)
    plain: list[Any] = (column if column.type == kind else column.cast(kind)).to_pylist()
    return plain


def _as_text(value: object) -> str:
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    raise TypeError(f"a {type(value).__name__} has no JSON form")


_encode = json.JSONEncoder(ensure_ascii=False, default=_as_text).encode


def _portable_type(kind: pa.DataType) -> pa.DataType:
    """``kind`` with the parts that ``to_pylist`` cannot give or JSON cannot take replaced by ones they can.

    Nanoseconds are why times become text inside Arrow: as Python objects they would need pandas.
    """
    types = pa.types
    plain = kind
    if isinstance(kind, pa.BaseExtensionType):
        plain = _portable_type(kind.storage_type)
    elif types.is_dictionary(kind):
        plain = _portable_type(kind.value_type)
    elif types.is_timestamp(kind) or types.is_date(kind) or types.is_time(kind):
        plain = pa.string()
    elif types.is_duration(kind):
        plain = pa.int64()
    elif types.is_struct(kind):
        plain = pa.struct([kind.field(i).with_type(_portable_type(kind.field(i).type)) for i in range(kind.num_fields)])
    elif types.is_map(kind):
        plain = pa.map_(_portable_type(kind.key_type), _portable_type(kind.item_type))
    elif types.is_fixed_size_list(kind):
        plain = pa.list_(_portable_type(kind.value_type), kind.list_size)
    elif types.is_list(kind) or types.is_large_list(kind):
        make = pa.list_ if types.is_list(kind) else pa.large_list
        plain = make(kind.value_field.with_type(_portable_type(kind.value_type)))
    return plain


def _is_odd(kind: pa.DataType) -> bool:
    """Whether ``kind`` has parts that Arrow cannot cast; ``list_view`` it casts to other values without an error."""
    types = pa.types
    if isinstance(kind, pa.BaseExtensionType):
        return _is_odd(kind.storage_type)
    if types.is_dictionary(kind):
        value = kind.value_type
        return types.is_nested(value) or types.is_string_view(value) or types.is_binary_view(value) or _is_odd(value)
    odd = types.is_list_view(kind) or types.is_large_list_view(kind) or types.is_union(kind)
    return odd or types.is_run_end_encoded(kind) or any(_is_odd(kind.field(i).type) for i in range(kind.num_fields))


def _convert(scalar: pa.Scalar) -> Any:
    """What ``to_lines`` makes of one value: slow, for the types that nothing faster is right for."""
    kind, types = scalar.type, pa.types
    if not scalar.is_valid:
        return None
    value: Any
    wrapped = types.is_dictionary(kind) or types.is_run_end_encoded(kind) or types.is_union(kind)
    if wrapped or isinstance(kind, pa.BaseExtensionType):
        value = _convert(scalar.value)
    elif types.is_struct(kind):
        value = {name: _convert(item) for name, item in scalar.items()}
    elif types.is_map(kind):
        pairs = zip(scalar.values.field(0), scalar.values.field(1), strict=True)
        value = [[_convert(key), _convert(item)] for key, item in pairs]
    elif types.is_nested(kind):
        value = [_convert(item) for item in scalar.values]
    else:
        plain = _portable_type(kind)
        value = (scalar if plain == kind else scalar.cast(plain)).as_py()
    return value


def to_batch(chunk: ParsedLines, schema: pa.Schema, reject: Reject) -> pa.RecordBatch:
    """``chunk``'s rows as a batch of ``schema``, which was inferred from them; absent keys are null.

    A row with a whole number that no float64 equals, in a column that also has fractions, goes to ``reject``.
    """
    columns, misfits = [], dict[int, str]()
    present, absent = chunk.columns(), [None] * len(chunk.rows)
    for field in schema:
        values = present.get(field.name, absent)
        try:
            columns.append(pa.array(values, field.type))
        except pa.ArrowException:
            wrong = dict(_find_misfits(values, field))
            misfits |= wrong
            columns.append(pa.array([None if at in wrong else value for at, value in enumerate(values)], field.type))
    batch = pa.RecordBatch.from_arrays(columns, schema=schema)
    if misfits:
        batch = batch.filter(pa.array([at not in misfits for at in range(batch.num_rows)]))
        for at, reason in sorted(misfits.items()):
            reject(chunk.numbers[at], reason, chunk.line(at))
    return batch


def _find_misfits(values: Sequence[Any], field: pa.Field) -> Iterator[tuple[int, str]]:
    """(row, reason) of each value that does not fit ``field``."""
    for at, value in enumerate(values):
        try:
            pa.array([value], field.type)
        except pa.ArrowException as error:
            yield at, f"column {field.name!r} as {field.type}: {error}"
