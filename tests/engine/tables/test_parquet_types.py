"""Parquet's own types: the same values come out in every format, or an error names the column."""

from __future__ import annotations

import datetime as dt
import io
import json
import struct
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.tables import run_without_clips

from saliency_engine.errors import InputError, OutputError

FAR = [dt.datetime(9999, 12, 31), dt.datetime(2024, 2, 29, 1, 2, 3, 4), None, dt.datetime(1, 1, 1)]
NEAR = [1_704_070_923_000_000_005, -9_223_372_036_854_775_808, None, 9_223_372_036_854_775_807]
"""Nanoseconds since 1970."""


def write_int96(path: Path, **columns: pa.Array) -> Path:
    table = pa.table({"src": ["a"] * len(next(iter(columns.values()))), **columns})
    pq.write_table(table, path, use_deprecated_int96_timestamps=True)
    return path


def texts(column: Any) -> list[str | None]:
    return [None if value is None else str(value)[:26] for value in column.cast(pa.string()).to_pylist()]


@pytest.mark.parametrize("values", [FAR, FAR * 9000], ids=["one batch", "several"])
def test_int96_beyond_nanoseconds_keeps_its_instants(tmp_path: Path, values: list[Any]) -> None:
    far = pa.array(values, pa.timestamp("us"))
    source = write_int96(tmp_path / "in.parquet", valid=far)
    for name in ("out.parquet", "out.arrow", "out.jsonl"):
        run_without_clips(source, tmp_path / name)
    assert pq.read_table(tmp_path / "out.parquet")["valid"].combine_chunks().equals(far)
    assert pa.ipc.open_file(tmp_path / "out.arrow").read_all()["valid"].combine_chunks().equals(far)
    lines = [json.loads(line)["valid"] for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert lines == texts(far)


def test_int96_within_nanoseconds_keeps_them(tmp_path: Path) -> None:
    near = pa.array(NEAR, pa.timestamp("ns"))
    run_without_clips(write_int96(tmp_path / "in.parquet", x=near), tmp_path / "out.parquet")
    assert pq.read_table(tmp_path / "out.parquet")["x"].combine_chunks().equals(near)


@pytest.mark.parametrize(
    ("kind", "wrap"),
    [
        (pa.list_(pa.timestamp("us")), lambda t: [t, None]),
        (pa.struct([("a", pa.int64()), ("t", pa.list_(pa.timestamp("us")))]), lambda t: {"a": 1, "t": [t]}),
        (pa.map_(pa.string(), pa.timestamp("us")), lambda t: [("k", t)]),
    ],
    ids=["list", "struct", "map"],
)
def test_int96_inside_other_types(tmp_path: Path, kind: pa.DataType, wrap: Any) -> None:
    column = pa.array([None if time is None else wrap(time) for time in FAR], kind)
    run_without_clips(write_int96(tmp_path / "in.parquet", **{"x.y": column}), tmp_path / "out.parquet")
    assert pq.ParquetFile(tmp_path / "out.parquet").read()["x.y"].to_pylist() == column.to_pylist()


def test_int96_that_no_one_unit_holds_is_refused(tmp_path: Path) -> None:
    columns = {"far": pa.array(FAR, pa.timestamp("us")), "fine": pa.array(NEAR, pa.timestamp("ns"))}
    with pytest.raises(
        InputError, match=r"in\.parquet: column 'far' has INT96 .*, and column 'fine' has some with nano"
    ):
        run_without_clips(write_int96(tmp_path / "in.parquet", **columns), tmp_path / "out.parquet")
    assert not (tmp_path / "out.parquet").exists()


def forge(path: Path, value: bytes, annotation: bytes) -> Path:
    """A file whose column ``x`` has the ``annotation``, Thrift bytes of a type that PyArrow does not write."""
    kind = pa.binary(12) if len(value) == 12 else pa.binary()
    sink = io.BytesIO()
    pq.write_table(pa.table({"src": ["a"], "x": pa.array([value], kind)}), sink, store_schema=False)
    data = sink.getvalue()
    size = struct.unpack("<I", data[-8:-4])[0]
    footer = data[-8 - size : -8].replace(b"\x18\x01x\x00", b"\x18\x01x" + annotation + b"\x00", 1)
    path.write_bytes(data[: -8 - size] + footer + struct.pack("<I", len(footer)) + b"PAR1")
    return path


@pytest.mark.parametrize("target", ["out.parquet", "out.jsonl", "out.arrow"])
@pytest.mark.parametrize(
    ("name", "value", "annotation"),
    [
        ("Interval", struct.pack("<III", 1, 2, 3), b"\x25\x2a"),
        ("Geometry", b"\1", b"\x6c\x0c\x22\x00\x00"),
        ("Geography", b"\1", b"\x6c\x0c\x24\x00\x00"),
        ("Undefined", b"\1", b"\x6c\x0c\x20\x00\x00"),  # a variant, or what comes after this PyArrow
    ],
)
def test_types_of_which_the_bytes_alone_would_be_left_are_refused(
    tmp_path: Path, name: str, value: bytes, annotation: bytes, target: str
) -> None:
    source = forge(tmp_path / "in.parquet", value, annotation)
    with pytest.raises(InputError, match=rf"in\.parquet: column 'x' holds a Parquet {name}"):
        run_without_clips(source, tmp_path / target)


def test_enums_are_text(tmp_path: Path) -> None:
    source = forge(tmp_path / "in.parquet", "rêd".encode(), b"\x25\x08")
    run_without_clips(source, tmp_path / "out.jsonl")
    assert json.loads((tmp_path / "out.jsonl").read_text())["x"] == "rêd"
    run_without_clips(source, tmp_path / "out.parquet")
    assert pq.read_table(tmp_path / "out.parquet")["x"].to_pylist() == ["rêd"]
    with pytest.raises(InputError, match="column 'x': Invalid UTF8"):
        run_without_clips(forge(tmp_path / "bad.parquet", b"\xff", b"\x25\x08"), tmp_path / "out.jsonl")


@pytest.mark.parametrize("wrap", [lambda column: column, lambda column: pa.ListArray.from_arrays([0, 1], column)])
@pytest.mark.parametrize(
    ("kind", "value", "target"),
    [
        (pa.timestamp("s"), 2**62, "out.parquet"),
        (pa.date64(), 86_400_000 * 2**35, "out.parquet"),
        (pa.timestamp("s"), 2**40, "out.jsonl"),
        (pa.timestamp("us", "UTC"), 2**62, "out.jsonl"),
        (pa.timestamp("s", "Mars/Olympus"), 0, "out.jsonl"),
    ],
    ids=str,
)
def test_values_that_a_format_cannot_hold_name_their_column(
    tmp_path: Path, kind: pa.DataType, value: int, target: str, wrap: Any
) -> None:
    table = pa.table({"src": ["a"], "x": wrap(pa.array([value], pa.int64()).cast(kind))})
    with pa.ipc.new_file(tmp_path / "in.arrow", table.schema) as writer:
        writer.write_table(table)
    with pytest.raises(OutputError, match=rf"{target}: column 'x'"):
        run_without_clips(tmp_path / "in.arrow", tmp_path / target)
    assert not (tmp_path / target).exists()
    run_without_clips(tmp_path / "in.arrow", tmp_path / "out.arrow")
    assert pa.ipc.open_file(tmp_path / "out.arrow").read_all().select(["src", "x"]).equals(table)
