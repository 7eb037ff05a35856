"""Whole tables: the same columns from every format, keys that stay text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import feather

from saliency_engine.errors import InputError
from saliency_engine.tables.whole import Whole, read_whole, write_whole

ROWS: list[dict[str, Any]] = [
    {"key": "0012345", "mos": 4.25, "n": 3},
    {"key": "7", "mos": None, "n": 5},
    {"key": None, "mos": 1.5, "n": 8},
]


def write(path: Path) -> Path:
    table = pa.Table.from_pylist(ROWS)
    match path.suffix:
        case ".parquet":
            pq.write_table(table, path, row_group_size=2)
        case ".arrow":
            feather.write_feather(table, path)
        case ".jsonl":
            path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
        case ".json":
            path.write_text(json.dumps({"rows": ROWS} if path.stem == "rows" else ROWS))
        case _:
            mark = "\t" if path.suffix == ".tsv" else ","
            lines = [["" if value is None else str(value) for value in row.values()] for row in ROWS]
            path.write_text("".join(mark.join(line) + "\n" for line in [list(ROWS[0]), *lines]))
    return path


@pytest.mark.parametrize("name", ["t.parquet", "t.arrow", "t.jsonl", "t.json", "rows.json", "t.csv", "t.tsv"], ids=str)
def test_every_format_gives_the_same_columns(tmp_path: Path, name: str) -> None:
    whole = read_whole(str(write(tmp_path / name)))
    assert (whole.names, whole.rows) == (("key", "mos", "n"), 3)
    assert whole.texts("key").tolist() == ["0012345", "7", None]
    np.testing.assert_array_equal(whole.numbers("mos"), [4.25, np.nan, 1.5])
    np.testing.assert_array_equal(whole.numbers("n"), [3, 5, 8])
    assert whole.holds_numbers("mos")
    assert whole.numbers("key").dtype == np.float64


def test_only_the_columns_asked_for_are_kept(tmp_path: Path) -> None:
    assert read_whole(str(write(tmp_path / "t.csv")), ["n", "none", "key"]).names == ("key", "n")


def test_parts_are_one_table(tmp_path: Path) -> None:
    for number in range(3):
        write(tmp_path / f"part-{number}.parquet")
    assert read_whole(str(tmp_path)).numbers("n").tolist() == [3, 5, 8] * 3


def test_a_table_without_rows_has_its_columns(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("key,mos\n")
    whole = read_whole(str(tmp_path / "t.csv"))
    assert (whole.rows, whole.names, len(whole.texts("key"))) == (0, ("key", "mos"), 0)


def test_keys_that_pandas_has_made_fractions_are_whole_numbers_again() -> None:
    """A column of integers with one null is float64 in pandas."""
    whole = Whole("t", pa.table({"id": [3339962845.0, None, 2.5]}))
    assert whole.texts("id").tolist() == ["3339962845", None, "2.5"]


def test_whole_numbers_that_no_type_of_arrow_holds_together_are_fractions(tmp_path: Path) -> None:
    """Such a list ended in a traceback."""
    (tmp_path / "t.json").write_text('[{"n": 18446744073709551615}, {"n": -3}]')
    assert read_whole(str(tmp_path / "t.json")).numbers("n").tolist() == [2.0**64, -3.0]


def test_what_is_no_number_is_nan() -> None:
    table = pa.table(
        {"text": ["1.5", "good", ""], "list": [[1.0], [2.0], []], "words": pa.array(list("aab")).dictionary_encode()}
    )
    whole = Whole("t", table)
    np.testing.assert_array_equal(whole.numbers("text"), [1.5, np.nan, np.nan])
    assert np.isnan(whole.numbers("list")).all()
    assert whole.texts("words").tolist() == ["a", "a", "b"]
    assert not whole.holds_numbers("text")


def test_a_column_that_is_not_there_is_named_with_those_that_are() -> None:
    with pytest.raises(InputError, match=r"t\.csv: there is no column 'mos'; its columns: 'key'"):
        Whole("t.csv", pa.table({"key": ["a"]})).numbers("mos")


@pytest.mark.parametrize(
    ("text", "message"),
    [("{", "it is not JSON"), ('{"a": 1}', "neither a JSON list"), ("[1]", "neither a JSON list")],
    ids=["broken", "object", "numbers"],
)
def test_json_that_is_no_table(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "t.json").write_text(text)
    with pytest.raises(InputError, match=message):
        read_whole(str(tmp_path / "t.json"))


def test_clips_are_no_table(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"")
    with pytest.raises(InputError, match="run `saliency-batch run` on them first"):
        read_whole(str(tmp_path))


@pytest.mark.parametrize("suffix", [".parquet", ".jsonl", ".csv", ".arrow"])
def test_columns_are_written_and_read_again(tmp_path: Path, suffix: str) -> None:
    keys = np.array(["0012", None, "ö"], object)
    columns = {"key": keys, "x": np.array([0.1, np.nan, 3]), "n": np.array([1, 2, 3])}
    write_whole(str(tmp_path / f"t{suffix}"), columns)
    again = read_whole(str(tmp_path / f"t{suffix}"))
    assert (again.names, again.texts("key").tolist()) == (("key", "x", "n"), keys.tolist())
    np.testing.assert_array_equal(again.numbers("x"), columns["x"])
    if suffix == ".parquet":
        table = pq.read_table(tmp_path / "t.parquet")
        assert (table["x"].null_count, table.schema.types) == (1, [pa.string(), pa.float64(), pa.int64()])


def test_types_that_differ_are_told_without_advice_on_output(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text('{"key": "a", "adm2": 1}\n{"key": "b", "adm2": "high"}\n')
    with pytest.raises(InputError, match=r"t\.jsonl.*column 'adm2' is string here but .*; make the types agree$"):
        read_whole(str(path))
