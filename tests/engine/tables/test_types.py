"""Every Arrow type, with nulls, plain and inside others, through every format: what comes out is what went in."""

from __future__ import annotations

import datetime as dt
import io
import json
import uuid
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from saliency_engine.config import RunConfig, TableJob
from saliency_engine.errors import InputError, OutputError
from saliency_engine.tables import batches, input, jsonl_arrow
from saliency_engine.tables.formats import Format
from saliency_engine.tables.join import Joiner
from saliency_engine.tables.output import open_output
from saliency_engine.types import ClipResult, Status

CONFIG = RunConfig(model="frequency_tuned_v1")
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
    *("int64", "string", "string_view", "binary_view", "halffloat", "decimal128(38, 10)", "date64[ms]", "null", "bool"),
    *("timestamp[s]", "timestamp[ns, tz=Europe/Paris]", "month_day_nano_interval", "duration[s]"),
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
FAMILIES = sorted({"plain" if name in PLAIN else name.partition("<")[0] for name in COLUMNS})


def table_of(family: str, *, without: Sequence[str] = ()) -> pa.Table:
    names = [name for name in (PLAIN if family == "plain" else COLUMNS) if name not in without]
    names = [name for name in names if family in ("plain", name.partition("<")[0])]
    fields = [pa.field(name, COLUMNS[name].type, metadata={"unit": "frames"}) for name in names]
    schema = pa.schema([pa.field("src", pa.string(), nullable=False), *fields], {"pandas": "{}", "who": "me"})
    return pa.table([["a", "b", "c"], *(COLUMNS[name] for name in names)], schema=schema)


def run(source: Path, target: str, stdin: bytes = b"") -> bytes:
    """A run without its clips: every source is ``ok``. Gives what went to stdout."""
    job, stdout = TableJob(input=str(source), output=target), io.BytesIO()
    with input.open_table(job, CONFIG, io.BytesIO(stdin)) as table:
        joiner = Joiner(CONFIG, "m1", table.schema)
        with open_output(target, table.output_format, joiner.schema, stdout) as output:
            for batch in table:
                output.write(joiner.join(batch, [ClipResult(Status.OK, 0.5, 0.25)] * len(batch.clips)))
            output.commit(table.rows())
    return stdout.getvalue()


def write_ipc(path: Path, table: pa.Table, make: Callable[..., Any] = pa.ipc.new_file) -> Path:
    with make(path, table.schema) as writer:
        writer.write_table(table)
    return path


def load(path: Path) -> pa.Table:
    return pq.ParquetFile(path).read() if path.suffix == ".parquet" else pa.ipc.open_file(path).read_all()


def same(after: pa.Table, before: pa.Table) -> None:
    assert after.schema.names[: len(before.schema)] == before.schema.names
    after = after.select(before.schema.names)
    assert after.schema.equals(before.schema, check_metadata=True)
    assert [name for name in before.schema.names if not after[name].equals(before[name])] == []
    after.validate(full=True)


@pytest.mark.parametrize("slice_rows", [2, 16384], ids=["sliced", "whole"])
@pytest.mark.parametrize("family", FAMILIES)
def test_arrow_keeps_every_type(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, family: str, slice_rows: int) -> None:
    monkeypatch.setattr(batches, "BATCH_ROWS", slice_rows)
    table = table_of(family)
    run(write_ipc(tmp_path / "in.arrow", table), str(tmp_path / "out.arrow"))
    same(pa.ipc.open_file(tmp_path / "out.arrow").read_all(), table)
    stream = write_ipc(tmp_path / "stream.arrow", table, pa.ipc.new_stream)
    same(pa.ipc.open_stream(run(Path("-"), "-", stream.read_bytes())).read_all(), table)


def in_parquet(kind: pa.DataType) -> pa.DataType:
    """What docs/tables.md says becomes of ``kind`` in Parquet."""
    types = pa.types
    if types.is_timestamp(kind) and kind.unit == "s":
        return pa.timestamp("ms", kind.tz)
    if types.is_date64(kind):
        return pa.date32()
    if types.is_time32(kind):
        return pa.time32("ms")
    if types.is_dictionary(kind) and types.is_large_string(kind.value_type):
        return pa.dictionary(kind.index_type, pa.string(), kind.ordered)
    if types.is_dictionary(kind) and not (types.is_string(kind.value_type) or types.is_binary(kind.value_type)):
        return kind.value_type
    return kind


def outline(kind: pa.DataType, change: Callable[[pa.DataType], pa.DataType] = lambda kind: kind) -> Any:
    """A type without the names of list elements, which Parquet prescribes; its parts ``change`` d."""
    kind = change(kind)
    children = [] if pa.types.is_dictionary(kind) else [kind.field(i) for i in range(kind.num_fields)]
    names = [child.name for child in children] if pa.types.is_struct(kind) else None
    return type(kind), names, [outline(child.type, change) for child in children] or str(kind)


@pytest.mark.parametrize("family", sorted({*FAMILIES} - {"run_end_encoded", "union"}))
def test_parquet_keeps_every_type_that_it_has(tmp_path: Path, family: str) -> None:
    table = table_of(family, without=NOT_IN_PARQUET)
    run(write_ipc(tmp_path / "in.arrow", table), str(tmp_path / "out.parquet"))
    first = pq.read_table(tmp_path / "out.parquet").select(table.schema.names)
    assert first.schema.metadata == table.schema.metadata
    for before, after in zip(table.schema, first.schema, strict=True):
        assert outline(after.type) == outline(before.type, in_parquet)
        assert first[after.name].to_pylist() == table[before.name].to_pylist()
        assert (after.metadata or {}).items() >= (before.metadata or {}).items()
    run(tmp_path / "out.parquet", str(tmp_path / "again.parquet"))
    same(pq.read_table(tmp_path / "again.parquet"), first)


@pytest.mark.parametrize("name", NOT_IN_PARQUET)
def test_what_parquet_lacks_is_refused_before_the_first_row(tmp_path: Path, name: str) -> None:
    schema = pa.schema([("x", COLUMNS[name].type)])
    with (
        pytest.raises(OutputError, match=r"out\.parquet: "),
        open_output(str(tmp_path / "out.parquet"), Format("parquet"), schema),
    ):
        pass
    assert list(tmp_path.iterdir()) == []


def test_json_lines_take_every_type() -> None:
    def values(name: str) -> list[Any]:
        lines = jsonl_arrow.to_lines(pa.record_batch({"x": COLUMNS[name]}))
        return [json.loads(line)["x"] for line in lines]

    for name, column in COLUMNS.items():
        assert [value is None for value in values(name)] == [value is None for value in column.to_pylist()], name
    for name in INSIDE:
        first, second, third = values(name)
        assert values(f"run_end_encoded<{name}>") == [first, second, third]
        for kind in ("list", "large_list", "list_view", "large_list_view"):
            assert values(f"{kind}<{name}>") == [[first, second], None, [third]]
        assert values(f"fixed_size_list<{name}>") == [[first, second], [third, first], [second, third]]
        assert values(f"struct<{name}>") == [{"x": first}, None, {"x": third}]
        assert values(f"map<{name}>") == [[["a", first], ["b", second]], [], [["c", third]]]
    first, _, third = values("timestamp[ns, tz=UTC]")
    assert values("union<sparse>") == [first, "x", third]
    assert values("dictionary<zoned>") == [values("timestamp[ns, tz=Europe/Paris]")[i] for i in (0, 1, 0)]
    assert values("dictionary<list<item: int64>>") == [[2, 3], None, [1]]
    assert values("month_day_nano_interval")[0] == [1, -2, 3]


def test_views_are_written_once_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A slice of views keeps the bytes of all: 40 slices of one batch were written as 40 times its bytes."""
    monkeypatch.setattr(batches, "BATCH_ROWS", 100)
    texts = pa.array([f"clip {number:060}.mp4" for number in range(4000)], pa.string_view())
    source = write_ipc(tmp_path / "in.arrow", pa.table({"src": texts}))
    run(source, str(tmp_path / "out.arrow"))
    assert (tmp_path / "out.arrow").stat().st_size < 3 * source.stat().st_size
    assert load(tmp_path / "out.arrow")["src"].to_pylist() == texts.to_pylist()


@pytest.mark.parametrize("target", ["out.jsonl", "out.parquet", "out.arrow"])
@pytest.mark.parametrize("source", ["in.jsonl", "in.parquet", "in.arrow", "stream.arrow"])
def test_tables_without_rows(tmp_path: Path, source: str, target: str) -> None:
    empty = table_of("plain", without=NOT_IN_PARQUET).slice(0, 0)
    if source.endswith("parquet"):
        pq.write_table(empty, tmp_path / source)
    elif source.endswith("jsonl"):
        (tmp_path / source).write_bytes(b"")
    else:
        write_ipc(tmp_path / source, empty, pa.ipc.new_stream if source.startswith("stream") else pa.ipc.new_file)
    if source.endswith("jsonl") and not target.endswith("jsonl"):
        with pytest.raises(InputError, match=r"no column 'src' .*the input's columns: none"):
            run(tmp_path / source, str(tmp_path / target))
        return
    run(tmp_path / source, str(tmp_path / target))
    if target.endswith("jsonl"):
        assert (tmp_path / target).read_bytes() == b""
        return
    after = load(tmp_path / target)
    assert after.num_rows == 0
    assert after.schema.metadata == empty.schema.metadata
    assert after.schema.names[: len(empty.schema)] == empty.schema.names


@pytest.mark.parametrize("suffix", ["parquet", "arrow"])
def test_a_table_without_columns_names_no_clips(tmp_path: Path, suffix: str) -> None:
    bare, path = pa.table({"x": [1, 2]}).select([]), tmp_path / f"in.{suffix}"
    pq.write_table(bare, path) if suffix == "parquet" else write_ipc(path, bare)
    with pytest.raises(InputError, match=r"no column 'src' .*the input's columns: none"):
        run(path, str(tmp_path / "out.jsonl"))


def test_columns_of_one_name_stay_apart_where_they_can(tmp_path: Path) -> None:
    table = pa.Table.from_arrays([pa.array(["a"]), pa.array([1]), pa.array(["y"])], ["src", "x", "x"])
    for name in ("out.arrow", "out.parquet"):
        run(write_ipc(tmp_path / "in.arrow", table), str(tmp_path / name))
        after = load(tmp_path / name)
        assert [after.column(i).to_pylist() for i in range(3)] == [["a"], [1], ["y"]]
    twins = pa.table({"src": ["a"], "s": pa.StructArray.from_arrays([pa.array([1]), pa.array([2])], ["k", "k"])})
    with pytest.raises(OutputError, match="JSON lines cannot hold two fields named 'k'"):
        run(write_ipc(tmp_path / "twins.arrow", twins), str(tmp_path / "out.jsonl"))


def test_text_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    bad = pa.Array.from_buffers(pa.string(), 1, pa.array([b"\xff"]).buffers())
    pq.write_table(pa.table({"src": ["a"], "t": bad}), tmp_path / "in.parquet")
    with pytest.raises(InputError, match="column 't', in or after row 0: Invalid UTF8"):
        run(tmp_path / "in.parquet", str(tmp_path / "out.parquet"))


def test_lists_too_deep_for_arrows_reader_are_refused_before_the_first_row(tmp_path: Path) -> None:
    kind = pa.int64()
    for _ in range(60):
        kind = pa.list_(kind)
    with (
        pytest.raises(OutputError, match="nested"),
        open_output(str(tmp_path / "out.parquet"), Format("parquet"), pa.schema([("x", kind)])),
    ):
        pass
