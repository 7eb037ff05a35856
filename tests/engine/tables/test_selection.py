"""``--select``: which rows are looked at, in every format of a table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from tests.rows import write_rows

from saliency_engine.config import RunConfig
from saliency_engine.errors import ConfigError, InputError
from saliency_engine.tables.columns import Columns
from saliency_engine.tables.input import open_table
from saliency_engine.tables.selection import Selection

ROWS: list[dict[str, Any]] = [
    {"src": "a", "mos": 3.0, "split": "test", "n": 1, "saliency_mean": 0.4, "saliency_status": "ok"},
    {"src": "b", "mos": 1.5, "split": "train", "n": 2, "saliency_mean": 0.1, "saliency_status": "ok"},
    {"src": "b", "mos": 1.2, "split": "train", "n": 3, "saliency_mean": 0.1, "saliency_status": "ok"},
    {"src": "c", "mos": None, "split": "test", "n": 4, "saliency_mean": None, "saliency_status": "decode-failed"},
    {"src": "d", "mos": 4.5, "split": "test", "n": 5, "saliency_mean": 0.2, "saliency_status": "skipped-existing"},
]
NAMES = RunConfig().output_columns


@pytest.fixture(params=["jsonl", "csv", "parquet"])
def table(tmp_path: Path, request: pytest.FixtureRequest) -> str:
    path = tmp_path / f"table.{request.param}"
    if request.param == "jsonl":
        write_rows(path, ROWS)
    elif request.param == "csv":
        pyarrow.csv.write_csv(pa.Table.from_pylist(ROWS), path)
    else:
        pq.write_table(pa.Table.from_pylist(ROWS), path, row_group_size=2)
    return str(path)


def choose(table: str, *texts: str, count: int = 8) -> list[int]:
    with open_table(table, Columns(), lines_as_arrow=lambda format: format.kind == "csv") as opened:
        return [row.number for row in Selection(texts, NAMES).choose(opened, count)]


@pytest.mark.parametrize(
    ("texts", "numbers"),
    [
        ((), [1, 2, 4, 5]),  # the second row of a clip is not shown again
        (("worst",), [3, 1, 5]),
        (("best",), [5, 1, 2]),
        (("worst:saliency_mean",), [2, 5, 1]),
        (("best:n",), [5, 4, 3, 1]),
        (("failed",), [4]),
        (("split=test",), [1, 4, 5]),
        (("n=3",), [3]),
        (("mos=4.50",), [5]),
        (("worst", "split=test"), [1, 5]),
        (("3",), [3, 4, 5]),
        (("2", "split=train"), [2]),
    ],
)
def test_rows_are_selected(table: str, texts: tuple[str, ...], numbers: list[int]) -> None:
    if texts == ("mos=4.50",) and table.endswith("csv"):
        return  # in CSV all values are text
    assert choose(table, *texts) == numbers
    assert choose(table, *texts, count=2) == numbers[:2]


def test_without_a_score_the_saliency_mean_decides(tmp_path: Path) -> None:
    rows = [{name: value for name, value in row.items() if name != "mos"} for row in ROWS]
    assert choose(str(write_rows(tmp_path / "table.jsonl", rows)), "best") == [1, 5, 2]


def test_what_fits_no_row_is_told(table: str) -> None:
    with pytest.raises(InputError, match=r"no row fits --select split=none"):
        choose(table, "split=none")
    with pytest.raises(InputError, match=r"no row fits --select worst:split and has a number in the column 'split'"):
        choose(table, "worst:split")


@pytest.mark.parametrize("text", ["", "0", "-1", "worse", "worst:", "=x", "1.5"])
def test_what_is_no_selection_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="is none of these: worst, best"):
        Selection([text], NAMES)


def test_rows_have_one_order() -> None:
    with pytest.raises(ConfigError, match="rows are in one order only"):
        Selection(["worst", "best:n"], NAMES)
