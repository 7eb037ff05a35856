"""A column of every Arrow type, plain and inside others, with nulls."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pyarrow as pa

ZONES = (None, "UTC", "Europe/Paris", "+05:30")


def _scalars() -> Iterator[tuple[pa.DataType, list[Any]]]:
    """Types and three values, the second one null."""
    yield pa.null(), [None, None, None]
    yield pa.bool_(), [True, None, False]
    for bits in (8, 16, 32, 64):
        yield getattr(pa, f"int{bits}")(), [-(2 ** (bits - 1)), None, 2 ** (bits - 1) - 1]
        yield getattr(pa, f"uint{bits}")(), [0, None, 2**bits - 1]
    for bits in (16, 32, 64):
        yield getattr(pa, f"float{bits}")(), [0.5, None, float("-inf")]
    for kind in (pa.string(), pa.large_string(), pa.string_view()):
        yield kind, ["é\0", None, "longer than the twelve bytes of a view"]
    for kind in (pa.binary(), pa.large_binary(), pa.binary_view()):
        yield kind, [b"\xff\0", None, b"longer than the twelve bytes of a view"]
    yield pa.binary(3), [b"abc", None, b"\0\0\0"]
    for kind in (pa.date32(), pa.date64()):
        yield kind, [dt.date(2024, 2, 29), None, dt.date(1, 1, 1)]
    for kind in (pa.time32("s"), pa.time32("ms"), pa.time64("us"), pa.time64("ns")):
        yield kind, [dt.time(1, 2, 3), None, dt.time(0)]
    for unit, one in (("s", 1), ("ms", 1), ("us", 1), ("ns", 1000)):
        yield pa.duration(unit), [one, None, -one]
        yield from ((pa.timestamp(unit, zone), [one, None, -one]) for zone in ZONES)
    yield pa.month_day_nano_interval(), [pa.MonthDayNano([1, -2, 3]), None, pa.MonthDayNano([0, 0, 0])]
    for kind in (pa.decimal32(7, 2), pa.decimal64(16, 2), pa.decimal128(38, 10), pa.decimal256(76, 10)):
        yield kind, [Decimal("1.5"), None, Decimal("-99999.99")]
    yield pa.decimal128(5, -2), [Decimal("100"), None, Decimal("-200")]


PLAIN = {str(kind): pa.array(values, kind) for kind, values in _scalars()}
INSIDE = (
    "int64",
    "string",
    "string_view",
    "binary_view",
    "halffloat",
    "decimal128(38, 10)",
    "date64[ms]",
    "null",
    "bool",
    "timestamp[s]",
    "timestamp[ns, tz=Europe/Paris]",
    "month_day_nano_interval",
    "duration[s]",
)
OFFSETS, MASK = [0, 2, 2, 3], pa.array([False, True, False])


def _nested() -> Iterator[tuple[str, pa.Array]]:
    for name in INSIDE:
        values = PLAIN[name]
        first, second, third = values.to_pylist()
        turned = pa.array([third, first, second], values.type)  # views need not follow each other
        for wide, index in (("", pa.int32()), ("large_", pa.int64())):
            lists, views = (pa.LargeListArray, pa.LargeListViewArray) if wide else (pa.ListArray, pa.ListViewArray)
            yield f"{wide}list<{name}>", lists.from_arrays(pa.array(OFFSETS, index), values, mask=MASK)
            starts, sizes = pa.array([1, 0, 0], index), pa.array([2, 0, 1], index)
            yield f"{wide}list_view<{name}>", views.from_arrays(starts, sizes, turned, mask=MASK)
        yield f"fixed_size_list<{name}>", pa.FixedSizeListArray.from_arrays(pa.concat_arrays([values] * 2), 2)
        field = pa.field("x", values.type, metadata={"k": "v"})
        yield f"struct<{name}>", pa.StructArray.from_arrays([values], fields=[field], mask=MASK)
        yield f"map<{name}>", pa.MapArray.from_arrays(OFFSETS, pa.array(["a", "b", "c"]), values)
        yield f"run_end_encoded<{name}>", pa.RunEndEncodedArray.from_arrays(pa.array([1, 2, 3], pa.int32()), values)
    deep = [[[{"a": [1, None]}, None], None], None, []]
    yield "list<list<struct<list>>>", pa.array(deep, pa.list_(pa.list_(pa.struct([("a", pa.list_(pa.int8()))]))))
    yield "struct<>", pa.array([{}, None, {}], pa.struct([]))
    codes = pa.array([0, 1, 0], pa.int8())
    children = [PLAIN["timestamp[ns, tz=UTC]"], PLAIN["string"].fill_null("x")]
    yield "union<sparse>", pa.UnionArray.from_sparse(codes, children)
    yield "union<dense>", pa.UnionArray.from_dense(codes, pa.array([0, 0, 1], pa.int32()), children)


def _dictionaries() -> Iterator[tuple[str, pa.Array]]:
    for name in ("int64", "string", "large_string", "string_view", "binary", "double", "date32[day]", "bool"):
        values = pa.array([value for value in PLAIN[name].to_pylist() if value is not None], PLAIN[name].type)
        for index in (pa.int8(), pa.int32(), pa.uint16()):
            yield f"dictionary<{name}, {index}>", pa.DictionaryArray.from_arrays(pa.array([1, None, 0], index), values)
    zoned = PLAIN["timestamp[ns, tz=Europe/Paris]"]
    yield "dictionary<zoned>", pa.DictionaryArray.from_arrays(pa.array([0, None, 0], pa.int8()), zoned.drop_null())
    text = PLAIN["string"]
    yield "dictionary<with null>", pa.DictionaryArray.from_arrays(pa.array([2, 1, None], pa.int8()), text)
    codes = pa.array([1, None, 0], pa.int8())
    yield "dictionary<ordered>", pa.DictionaryArray.from_arrays(codes, ["b", "a"], ordered=True)
    for values in ([[1], [2, 3]], [{"a": 1}, {"a": 2}]):
        array = pa.DictionaryArray.from_arrays(codes, pa.array(values))
        yield f"dictionary<{array.type.value_type}>", array
    inner = pa.DictionaryArray.from_arrays(codes, pa.array(["b", "a"]))
    yield "list<dictionary>", pa.ListArray.from_arrays(OFFSETS, inner)
    yield "struct<dictionary>", pa.StructArray.from_arrays([inner], ["d"])


def _extensions() -> Iterator[tuple[str, pa.Array]]:
    yield "uuid", pa.array([uuid.UUID(int=1).bytes, None, uuid.UUID(int=2).bytes], pa.uuid())
    yield "json", pa.ExtensionArray.from_storage(pa.json_(), pa.array(['{"a":1}', None, "2"]))
    yield "bool8", pa.ExtensionArray.from_storage(pa.bool8(), pa.array([1, None, 0], pa.int8()))
    tensors = pa.array([[1, 2], None, [3, 4]], pa.list_(pa.float32(), 2))
    yield "tensor", pa.ExtensionArray.from_storage(pa.fixed_shape_tensor(pa.float32(), [2, 1]), tensors)
    yield "opaque", pa.ExtensionArray.from_storage(pa.opaque(pa.int32(), "t", "v"), pa.array([1, None, 2], pa.int32()))


COLUMNS = PLAIN | dict(_nested()) | dict(_dictionaries()) | dict(_extensions())
# What Parquet, or Arrow's writer of it, has no form for.
NOT_IN_PARQUET = [name for name in COLUMNS if any(part in name for part in ("run_end", "interval", "union"))]
NOT_IN_PARQUET += ["struct<>", "decimal128(5, -2)"]
