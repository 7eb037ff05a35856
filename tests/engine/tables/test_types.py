"""Every Arrow type, with nulls, plain and inside others, through every format: what comes out is what went in."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.arrow_types import COLUMNS, INSIDE, NOT_IN_PARQUET, PLAIN
from tests.tables import run_without_clips, write_ipc

from saliency_engine.errors import InputError, OutputError
from saliency_engine.tables import batches, jsonl_arrow
from saliency_engine.tables.formats import Format
from saliency_engine.tables.output import open_output

FAMILIES = sorted({"plain" if name in PLAIN else name.partition("<")[0] for name in COLUMNS})


def table_of(family: str, *, without: Sequence[str] = ()) -> pa.Table:
    names = [name for name in (PLAIN if family == "plain" else COLUMNS) if name not in without]
    names = [name for name in names if family in ("plain", name.partition("<")[0])]
    fields = [pa.field(name, COLUMNS[name].type, metadata={"unit": "frames"}) for name in names]
    schema = pa.schema([pa.field("src", pa.string(), nullable=False), *fields], {"pandas": "{}", "who": "me"})
    return pa.table([["a", "b", "c"], *(COLUMNS[name] for name in names)], schema=schema)


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
    run_without_clips(write_ipc(tmp_path / "in.arrow", table), str(tmp_path / "out.arrow"))
    same(pa.ipc.open_file(tmp_path / "out.arrow").read_all(), table)
    stream = write_ipc(tmp_path / "stream.arrow", table, pa.ipc.new_stream)
    same(pa.ipc.open_stream(run_without_clips(Path("-"), "-", stream.read_bytes())).read_all(), table)


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
    run_without_clips(write_ipc(tmp_path / "in.arrow", table), str(tmp_path / "out.parquet"))
    first = pq.read_table(tmp_path / "out.parquet").select(table.schema.names)
    assert first.schema.metadata == table.schema.metadata
    for before, after in zip(table.schema, first.schema, strict=True):
        assert outline(after.type) == outline(before.type, in_parquet)
        assert first[after.name].to_pylist() == table[before.name].to_pylist()
        assert (after.metadata or {}).items() >= (before.metadata or {}).items()
    run_without_clips(tmp_path / "out.parquet", str(tmp_path / "again.parquet"))
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
            run_without_clips(tmp_path / source, str(tmp_path / target))
        return
    run_without_clips(tmp_path / source, str(tmp_path / target))
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
        run_without_clips(path, str(tmp_path / "out.jsonl"))


def test_columns_of_one_name_stay_apart_where_they_can(tmp_path: Path) -> None:
    table = pa.Table.from_arrays([pa.array(["a"]), pa.array([1]), pa.array(["y"])], ["src", "x", "x"])
    for name in ("out.arrow", "out.parquet"):
        run_without_clips(write_ipc(tmp_path / "in.arrow", table), str(tmp_path / name))
        after = load(tmp_path / name)
        assert [after.column(i).to_pylist() for i in range(3)] == [["a"], [1], ["y"]]
    twins = pa.table({"src": ["a"], "s": pa.StructArray.from_arrays([pa.array([1]), pa.array([2])], ["k", "k"])})
    with pytest.raises(OutputError, match="JSON lines cannot hold two fields named 'k'"):
        run_without_clips(write_ipc(tmp_path / "twins.arrow", twins), str(tmp_path / "out.jsonl"))
