"""Dictionary columns of Arrow: decoded, encoded, and made fit for writers that cannot take them as they are."""

from __future__ import annotations

import pyarrow as pa


def has_dictionary(kind: pa.DataType) -> bool:
    """Whether there is a dictionary anywhere in ``kind``."""
    if isinstance(kind, pa.BaseExtensionType):
        return has_dictionary(kind.storage_type)
    return pa.types.is_dictionary(kind) or any(has_dictionary(kind.field(i).type) for i in range(kind.num_fields))


def decoded(column: pa.Array) -> pa.Array:
    """``column`` without its dictionary, if it has one; one of text views gives ``large_string``."""
    if not pa.types.is_dictionary(column.type):
        return column
    values = column.dictionary
    if pa.types.is_string_view(values.type):  # which Arrow cannot take elements of
        values = values.cast(pa.large_string())
    return pa.DictionaryArray.from_arrays(column.indices, values).dictionary_decode()


def encoded(column: pa.Array, kind: pa.DictionaryType) -> pa.Array:
    """``column``, which has no dictionary, as ``kind``. Raises ``pyarrow.ArrowException`` where it does not fit."""
    plain = column.dictionary_encode()
    indices, values = plain.indices.cast(kind.index_type), plain.dictionary.cast(kind.value_type)
    return pa.DictionaryArray.from_arrays(indices, values, ordered=kind.ordered)


def schema_for_parquet(schema: pa.Schema) -> pa.Schema:
    """``schema`` with dictionaries of text and bytes only: others are written as their values, less what types say."""
    fields = [
        field.with_type(field.type.value_type)
        if pa.types.is_dictionary(field.type) and not _is_text(field.type)
        else field
        for field in schema
    ]
    return pa.schema(fields, schema.metadata)


def for_parquet(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """``batch`` in ``schema_for_parquet``'s ``schema``, without nulls among a dictionary's values: Parquet has none."""
    columns = list(batch.columns)
    for i, column in enumerate(columns):
        if pa.types.is_dictionary(column.type) and not pa.types.is_dictionary(schema.field(i).type):
            columns[i] = decoded(column)
        elif pa.types.is_dictionary(column.type) and column.dictionary.null_count:
            columns[i] = encoded(decoded(column), column.type)
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _is_text(kind: pa.DictionaryType) -> bool:
    types, value = pa.types, kind.value_type
    return bool(
        types.is_string(value) or types.is_large_string(value) or types.is_binary(value) or types.is_large_binary(value)
    )
