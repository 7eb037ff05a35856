"""Any format to any other: what values become, and when no type fits."""

from __future__ import annotations

import gzip
import io
import json
import re
from datetime import date, time
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.rows import write_rows
from tests.tables import columns, read_as_arrow, run_without_clips

from saliency_engine.errors import InputError
from saliency_engine.tables import input, jsonl_arrow
from saliency_engine.tables.jsonl_lines import CHUNK_ROWS

SUFFIXES = ["jsonl", "ndjson.gz", "jsonl.zst", "parquet", "pq", "arrow", "feather"]


@pytest.mark.parametrize("target", SUFFIXES)
@pytest.mark.parametrize("source", SUFFIXES)
def test_any_format_to_any_other(tmp_path: Path, source: str, target: str) -> None:
    rows = [{"src": f"{i % 3}.mp4", "n": 2**53 + i, "f": i / 3, "t": None if i % 2 else "é"} for i in range(10)]
    first = write_rows(tmp_path / "in.jsonl", rows)
    run_without_clips(first, tmp_path / f"in.{source}") if source != "jsonl" else None
    run_without_clips(tmp_path / f"in.{source}", tmp_path / f"out.{target}")
    gained = {"saliency_mean": 0.5, "saliency_var": 0.25, "saliency_aggregator": "mean", "saliency_ema_alpha": 0.6}
    gained |= {"saliency_model_id": "m1", "saliency_sampling": "head:8@320x320"}
    status = "ok" if source == "jsonl" else "skipped-existing"
    for row, wanted in zip(read_as_arrow(tmp_path / f"out.{target}"), rows, strict=True):
        row.pop("saliency_error", None)
        assert row == wanted | gained | {"saliency_status": status}


def test_pipes_take_and_give_their_own_format() -> None:
    lines = run_without_clips("-", "-", b'{"src":"a"}')
    assert lines.startswith(b'{"src":"a", "saliency_mean": 0.5')
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, pa.schema([("src", pa.string())])) as writer:
        writer.write_batch(pa.record_batch({"src": ["a"]}))
    stream = run_without_clips("-", "-", sink.getvalue())
    assert pa.ipc.open_stream(stream).read_all()["saliency_mean"].to_pylist() == [0.5]


def test_lines_from_a_pipe_become_a_table(tmp_path: Path) -> None:
    run_without_clips("-", tmp_path / "out.parquet", b'{"src": "a", "x": 1}\n\n{"src": "b", "y": 0.5}')
    table = pq.read_table(tmp_path / "out.parquet")
    assert table.select(["src", "x", "y"]).to_pydict() == {"src": ["a", "b"], "x": [1, None], "y": [None, 0.5]}


def test_an_empty_table_keeps_its_schema(tmp_path: Path) -> None:
    pq.write_table(pa.table({"src": pa.array([], pa.string())}), tmp_path / "in.parquet")
    run_without_clips(tmp_path / "in.parquet", tmp_path / "out.arrow")
    table = pa.ipc.open_file(tmp_path / "out.arrow").read_all()
    assert (table.num_rows, table.schema.field("saliency_mean").type) == (0, pa.float64())
    run_without_clips(tmp_path / "in.parquet", tmp_path / "out.jsonl")
    assert (tmp_path / "out.jsonl").read_bytes() == b""


def as_schema(text: str, tmp_path: Path) -> pa.Schema:
    (tmp_path / "in.jsonl").write_text(text)
    with input.open_table(str(tmp_path / "in.jsonl"), columns(), lines_as_arrow=True) as table:
        for _ in table:
            pass
        return table.schema


def test_one_schema_is_found_for_rows_far_apart(tmp_path: Path) -> None:
    filler = '{"src": "a"}\n' * CHUNK_ROWS
    text = '{"src": "a", "z": 1, "a": null, "o": {"p": [1]}}\n' + filler
    text += '{"src": "a", "z": 1.5, "a": "x", "o": {"q": true, "p": [0.5]}, "late": NaN}\n'
    schema = as_schema(text, tmp_path)
    inner = pa.struct([("p", pa.list_(pa.float64())), ("q", pa.bool_())])
    expected = {"src": pa.string(), "z": pa.float64(), "a": pa.string(), "o": inner, "late": pa.float64()}
    assert list(zip(schema.names, schema.types, strict=True)) == list(expected.items())


@pytest.mark.parametrize("distance", [1, CHUNK_ROWS + 1])
@pytest.mark.parametrize(
    ("first", "second", "reason"),
    [
        ("1", '"x"', "line {}: column 'c' is string here but int64 on line 3"),
        ('"x"', "1", "line {}: column 'c' is int64 here but string on line 3"),
        ("[1]", "1", "line {}: column 'c' is int64 here but list<item: int64> on line 3"),
        ("true", "1", "line {}: column 'c' is int64 here but bool on line 3"),
        ("1.5", "true", "line {}: column 'c' is bool here but double on line 3"),
        ("[1.5]", "[true]", "line {}: column 'c' is list<item: bool> here but list<item: double> on line 3"),
        ('[{"d": 1.5}]', '[{"d": true}]', "line {}: column 'c' is list<item: struct<d: bool>> here"),
    ],
)
def test_values_that_share_no_type_are_named(
    tmp_path: Path, first: str, second: str, reason: str, distance: int
) -> None:
    filler = '{"src": "a"}\n' * (distance - 1)
    text = f'{{"src": "a"}}\n\n{{"src": "a", "c": {first}}}\n{filler}{{"src": "a", "c": {second}}}\n'
    with pytest.raises(InputError, match=r"in\.jsonl, " + reason.format(3 + distance)):
        as_schema(text, tmp_path)


@pytest.mark.parametrize("distance", [1, CHUNK_ROWS + 1])
@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("9223372036854775808", "column 'c': an integer beyond 64 bits has no Arrow type"),
        ('{"d": [{"e": -9223372036854775809}]}', "column 'c': an integer beyond 64 bits"),
        ("9007199254740993", "column 'c' as double: Integer value 9007199254740993 is outside"),
        ("1" * 5000, "Exceeds the limit"),
        ('"\\udcff"', r"its text holds '\\udcff', half of a UTF-16 pair"),
        ('{"d": 1, "e": {"d": 1, "d": 1}}', "the key 'd' is there twice"),
        ('[1, "x"]', "column 'c': Unable to merge"),
        ("[1.5, true]", "column 'c': Unable to merge"),
        ('[{"d": 1.5}, {"d": false}]', "column 'c': Unable to merge"),
        ("[" * 33 + "]" * 33, "column 'c': nested more than 32 levels deep"),
        ('{"d":' * 33 + "1" + "}" * 33, "column 'c': nested more than 32 levels deep"),
        ("[" * 5000 + "]" * 5000, "nested too deeply"),
        ('"x"} {', "Extra data"),
        ('1, "saliency_status": 3', "'saliency_status' holds a number"),
    ],
)
def test_a_line_that_no_column_can_hold_is_rejected(tmp_path: Path, value: str, reason: str, distance: int) -> None:
    good = '{"src": "a", "c": 0.5}\n' * distance
    (tmp_path / "in.jsonl").write_text(good + f'{{"src": "b", "more": 7, "c": {value}}}\n\n' + good)
    run_without_clips(tmp_path / "in.jsonl", tmp_path / "out.parquet")
    table = pq.read_table(tmp_path / "out.parquet")
    assert table["src"].to_pylist() == ["a"] * 2 * distance
    (rejected,) = map(json.loads, (tmp_path / "out.parquet.rejects.jsonl").read_text().splitlines())
    assert rejected["line"] == distance + 1
    assert re.search(reason, rejected["reason"])
    assert rejected["text"] == f'{{"src": "b", "more": 7, "c": {value}}}'


def test_lines_that_change_between_their_two_readings_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text('{"src": "a"}\n')
    with input.open_table(str(path), columns(), lines_as_arrow=True) as table:
        path.write_text('{"src": "a", "new": 1}\n')
        with pytest.raises(InputError, match=r"in\.jsonl: the file was changed while it was being read"):
            list(table)


def test_arrow_values_as_json() -> None:
    columns = {
        "f": pa.array([float("nan")]),
        "u": pa.array([2**64 - 1], pa.uint64()),
        "s": pa.array(["é\n"]),
        "ns": pa.array([1], pa.timestamp("ns")),
        "zone": pa.array([0], pa.timestamp("s", "Europe/Paris")),
        "date": pa.array([date(2024, 2, 29)]),
        "time": pa.array([time(1, 2, 3)], pa.time64("ns")),
        "for": pa.array([1500], pa.duration("ms")),
        "dec": pa.array([Decimal("1.50")]),
        "bin": pa.array([b"\xff\x00"]),
        "dict": pa.array(["x"]).dictionary_encode(),
        "list": pa.array([[{"t": 1}]], pa.list_(pa.struct([("t", pa.timestamp("ns"))]))),
        "map": pa.array([[("k", 1)]], pa.map_(pa.string(), pa.int64())),
        "null": pa.array([None], pa.string()),
    }
    assert list(jsonl_arrow.to_lines(pa.record_batch(columns))) == [
        '{"f": NaN, "u": 18446744073709551615, "s": "é\\n", "ns": "1970-01-01 00:00:00.000000001", '
        '"zone": "1970-01-01 01:00:00+0100", "date": "2024-02-29", "time": "01:02:03.000000000", "for": 1500, '
        '"dec": "1.50", "bin": "/wA=", "dict": "x", "list": [{"t": "1970-01-01 00:00:00.000000001"}], '
        '"map": [["k", 1]], "null": null}\n'.encode()
    ]


def test_packed_lines_are_ordinary_gzip(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_bytes(b'\xef\xbb\xbf{"src":"a"}\r\n')
    run_without_clips(tmp_path / "in.jsonl", tmp_path / "out.jsonl.gz")
    run_without_clips(tmp_path / "in.jsonl", tmp_path / "out.jsonl")
    assert gzip.decompress((tmp_path / "out.jsonl.gz").read_bytes()) == (tmp_path / "out.jsonl").read_bytes()
