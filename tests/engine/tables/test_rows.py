"""Which rows are left alone, and which clip each of the others names."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from tests.tables import WRITERS, clips_of, columns, read, write_ipc

from saliency_engine.errors import InputError
from saliency_engine.tables import rows
from saliency_engine.tables.columns import Columns
from saliency_engine.types import ClipReference

NAN = float("nan")


def test_the_columns_that_are_read_are_the_options_defaults_where_nothing_is_written() -> None:
    assert Columns() == dataclasses.replace(columns(), mean="", var="", written={}, roles={})


@pytest.fixture(params=WRITERS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[dict[str, Any]], Path]:
    def store(columns: dict[str, Any]) -> Path:
        path = tmp_path / f"in.{request.param}"
        WRITERS[request.param](path, pa.table(columns))
        return path

    return store


def test_only_rows_with_a_finite_mean_and_variance_are_left_alone(store: Callable[[dict[str, Any]], Path]) -> None:
    mean = pa.array([0.5, NAN, None, float("inf"), 0.0, 0.5], from_pandas=False)
    var = pa.array([0.1, 0.1, 0.1, 0.1, None, 0], pa.float32())
    path = store({"src": list("abcdef"), "saliency_mean": mean, "saliency_var": var})
    assert [clip is None for clip in clips_of(read(path))] == [True, False, False, False, False, True]
    assert None not in clips_of(read(path, overwrite=True))
    assert None not in clips_of(read(path, var_column=""))
    assert None not in clips_of(read(path, mean_column="other"))


@pytest.mark.parametrize("suffix", ["parquet", "arrow"])
@pytest.mark.parametrize(
    ("role", "values"),
    [
        ("error", pa.array([None, 0.125])),
        ("status", pa.array([3, 4], pa.int8())),
        ("model_id", pa.array([None, b"m"])),
        ("aggregator", pa.array([["mean"], None])),
        ("mean", pa.array(["0.5", None])),
        ("var", pa.array([True, False])),
        ("ema_alpha", pa.array([None, {"a": 1}])),
        ("mean", pa.array([Decimal("0.1234567890123456789"), None])),
    ],
)
def test_values_of_another_kind_are_not_written_over(tmp_path: Path, suffix: str, role: str, values: pa.Array) -> None:
    path, name, option = tmp_path / f"in.{suffix}", f"saliency_{role}", f"--{role.replace('_', '-')}-column"
    WRITERS[suffix](path, pa.table({"src": ["a", "b"], name: values}))
    with pytest.raises(InputError, match=rf"in\.{suffix}: column '{name}' is .*, but this run writes .*{option}"):
        read(path)
    renamed: dict[str, Any] = {f"{role}_column": "other"}
    assert clips_of(read(path, **renamed)) == [ClipReference("a"), ClipReference("b")]
    WRITERS[suffix](path, pa.table({"src": ["a"], name: pa.nulls(1, values.type)}))
    assert clips_of(read(path)) == [ClipReference("a")]


def test_rows_of_one_clip_share_one_reference(store: Callable[[dict[str, Any]], Path]) -> None:
    path = store(
        {
            "src": ["b", "a", "b", None, "b", "b"],
            "width": [64, 64, 64, 64, None, 64],
            "height": pa.array([48, 48, 48, 48, 48, None]),
            "pix_fmt": ["gray", "", "gray", "gray", "gray", "gray"],
        }
    )
    (batch,) = read(path)
    assert batch.codes.tolist() == [0, 1, 0, 2, 3, 4]
    assert batch.codes.dtype == np.int32
    assert batch.clips == (
        ClipReference("b", 64, 48, "gray"),
        ClipReference("a", 64, 48),
        ClipReference("", 64, 48, "gray"),
        ClipReference("b", None, 48, "gray"),
        ClipReference("b", 64, None, "gray"),
    )


@pytest.mark.parametrize(
    ("width", "meaning"),
    [
        ([64, -1, 0, None], [64, None, None, None]),
        ([64.0, 64.5, NAN, float("inf")], [64, None, None, None]),
        ([2.0**31 - 1, 2.0**31, 1e300, -1e300], [2**31 - 1, None, None, None]),
        (["64", " 64", "064"], [64, 64, 64]),
        (["64px", "", "-64", "6.4", "0", "9" * 30], [None] * 6),
        ([True], [None]),
        ([[64]], [None]),
    ],
)
def test_a_size_is_a_positive_whole_number(
    store: Callable[[dict[str, Any]], Path], width: list[Any], meaning: list[int | None]
) -> None:
    path = store({"src": ["a"] * len(width), "width": width})
    assert clips_of(read(path)) == [ClipReference("a", pixels) for pixels in meaning]
    assert len({clip for batch in read(path) for clip in batch.clips}) == len(set(meaning))


@pytest.mark.parametrize(
    "kind", [pa.large_string(), pa.string_view(), pa.dictionary(pa.int8(), pa.string())], ids=["large", "view", "dict"]
)
def test_every_kind_of_text_is_a_path(tmp_path: Path, kind: pa.DataType) -> None:
    paths = pa.array(["a", "é", None, "a"])
    paths = paths.dictionary_encode().cast(kind) if pa.types.is_dictionary(kind) else paths.cast(kind)
    write_ipc(tmp_path / "in.arrow", pa.table({"src": paths}))
    (batch,) = read(tmp_path / "in.arrow")
    assert (batch.codes.tolist(), batch.clips) == (
        [0, 1, 2, 0],
        (ClipReference("a"), ClipReference("é"), ClipReference("")),
    )


def test_numbers_in_dictionaries_and_decimals_are_numbers(tmp_path: Path) -> None:
    number = pa.array([64, None, 64])
    table = pa.table({"src": ["a"] * 3, "width": number.dictionary_encode(), "height": number.cast(pa.decimal128(19))})
    write_ipc(tmp_path / "in.arrow", table)
    assert clips_of(read(tmp_path / "in.arrow")) == [
        ClipReference("a", 64, 64),
        ClipReference("a"),
        ClipReference("a", 64, 64),
    ]


def test_lines_without_a_usable_path_have_an_empty_one(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text('{"a": 1}\n{"src": 5}\n{"src": null}\n{"src": ["x"]}\n')
    assert clips_of(read(tmp_path / "in.jsonl")) == [ClipReference("")] * 4


def test_true_in_a_line_is_no_size(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text("".join(f'{{"src": "a", "width": {w}}}\n' for w in ("1", "true", "1.0", "[1]")))
    assert clips_of(read(tmp_path / "in.jsonl")) == [
        ClipReference("a", 1),
        ClipReference("a"),
        ClipReference("a", 1),
        ClipReference("a"),
    ]


def test_an_absent_path_column_is_named_with_the_ones_there_are(tmp_path: Path) -> None:
    write_ipc(tmp_path / "in.arrow", pa.table({"source": ["a"], "src_path": [1]}))
    with pytest.raises(InputError, match=r"in\.arrow: no column 'src_pth' .*did you mean 'src_path'.*'source', 'src_p"):
        read(tmp_path / "in.arrow", path_column="src_pth")
    with pytest.raises(InputError, match=r"'src_path'.* is int64, not text"):
        read(tmp_path / "in.arrow", path_column="src_path")


def test_two_columns_of_one_name_are_refused_where_we_need_one(tmp_path: Path) -> None:
    table = pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"])], ["src", "src"])
    write_ipc(tmp_path / "in.arrow", table)
    with pytest.raises(InputError, match="2 columns named 'src'"):
        read(tmp_path / "in.arrow")


def test_batches_from_a_user_come_back_one_for_one() -> None:
    schema = pa.schema([("src", pa.string())])
    batches = [pa.record_batch([pa.array(paths, pa.string())], schema=schema) for paths in (["a", "b"], [], ["b"])]
    got = list(rows.from_batches(iter(batches), columns()))
    assert [(batch.first_row, batch.rows, batch.payload) for batch in got] == [
        (0, 2, batches[0]),
        (2, 0, batches[1]),
        (2, 1, batches[2]),
    ]
    assert got[2].clips == (ClipReference("b"),)
    with pytest.raises(InputError, match="row 2 has another schema"):
        list(rows.from_batches([batches[0], pa.record_batch({"src": ["a"], "x": [1]})], columns()))
