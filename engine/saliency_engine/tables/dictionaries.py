"""Dictionary columns of Arrow, decoded and encoded."""

from __future__ import annotations

import pyarrow as pa


def has_dictionary(kind: pa.DataType) -> bool:
    """Whether there is a dictionary anywhere in ``kind``."""
    if isinstance(kind, pa.BaseExtensionType):
        return has_dictionary(kind.storage_type)
    return pa.types.is_dictionary(kind) or any(has_dictionary(kind.field(i).type) for i in range(kind.num_fields))


def decode_dictionary(column: pa.Array) -> pa.Array:
    """``column`` without its dictionary, if it has one; one of text views gives ``large_string``."""
    if not pa.types.is_dictionary(column.type):
        return column
    values = column.dictionary
    if pa.types.is_string_view(values.type):  # which Arrow cannot take elements of
        values = values.cast(pa.large_string())
    return pa.DictionaryArray.from_arrays(column.indices, values).dictionary_decode()


def encode_dictionary(column: pa.Array, kind: pa.DictionaryType) -> pa.Array:
    """``column``, which has no dictionary, as ``kind``. Raises ``pyarrow.ArrowException`` where it does not fit."""
    plain = column.dictionary_encode()
    indices, values = plain.indices.cast(kind.index_type), plain.dictionary.cast(kind.value_type)
    return pa.DictionaryArray.from_arrays(indices, values, ordered=kind.ordered)
