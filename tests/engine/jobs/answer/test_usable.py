"""Which rows, columns and options an answer can be made of; what is left out or refused is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.engine.jobs.answer.tables_to_answer import ask, write_scores

from saliency_engine.errors import ConfigError, InputError


def test_what_cannot_be_used_is_left_out_and_said(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = write_scores(tmp_path / "t.parquet", 1, signal=0.35, shot_count_norm=[0.0] * 120)
    rows = pq.read_table(path).to_pylist()
    rows[0]["mos"] = None
    for row in rows[1:4]:
        row["saliency_mean"] = row["saliency_var"] = None
    rows[5]["adm2"] = None
    pq.write_table(pa.Table.from_pylist(rows), path)
    (one,) = ask([path], base="adm2,motion2,shot_*", repeats=1)
    assert len(one.question.target) == 116
    errors = capfd.readouterr().err
    for note in (
        "every clip is a content of its own, by the column key",
        "left out, with one number in all rows: shot_count_norm",
        "1 row without a score is left out",
        "3 rows without any of the added columns are left out",
        "1 gap is filled with the median of the clips that train",
    ):
        assert note in errors


def test_scores_and_features_that_are_no_numbers_are_said(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = write_scores(tmp_path / "t.parquet", 1, signal=0.35)
    rows = pq.read_table(path).to_pylist()
    for row in rows:
        row["mos"] = str(row["mos"])
    rows[3]["mos"], rows[4]["mos"], rows[5]["motion2"] = "3,5", "inf", float("inf")
    pq.write_table(pa.Table.from_pylist(rows), path)
    (one,) = ask([path], repeats=1)
    assert len(one.question.target) == 118
    errors = capfd.readouterr().err
    first = "first: '3,5' in row 4, with a decimal comma: write 3.5"
    assert f"2 rows with a score that is no number are left out; {first}\n" in errors
    assert "1 infinite number is taken for a gap\n" in errors
    assert "without a score" not in errors


def test_keys_of_digits_are_no_features(tmp_path: Path) -> None:
    path = write_scores(tmp_path / "t.parquet", 1, signal=0.35, key=[f"{number:05d}" for number in range(120)])
    with pytest.raises(InputError, match="--base key: this column names clips and is no feature"):
        ask([path], base="key")
    (one,) = ask([path], base="*", repeats=1)
    assert list(one.question.base_columns) == ["adm2", "motion2"]


def test_an_empty_table_has_no_rows(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,b\n")
    with pytest.raises(InputError, match=r"t\.csv: it has no rows"):
        ask([str(tmp_path / "t.csv")])


def test_labels_and_tags_are_no_features(tmp_path: Path) -> None:
    path = write_scores(
        tmp_path / "t.parquet", 1, signal=0.35, mos_raw_0_100=[50.0] * 60 + [60.0] * 60, fold=list(range(120))
    )
    (one,) = ask([path], base="*", add=["saliency_*"], repeats=1)
    assert list(one.question.base_columns) == ["adm2", "motion2"]
    with pytest.raises(InputError, match="--base mos_raw_0_100: that is a label"):
        ask([path], base="mos_raw_0_100")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"base": "vif_*"}, r"--base vif_\* fits no column of numbers; there are key, adm2"),
        ({"base": "vif"}, "there is no column 'vif'"),
        ({"base": "key"}, "--base key: this column names clips and is no feature"),
        ({"base": "words"}, "--base words: this column does not hold numbers alone"),
        ({"base": "adm2", "add": ["adm2"]}, "--base adm2 stands in --add adm2, too: .* Name it in one of them"),
        ({"base": "adm2,motion2", "add": ["motion*"]}, r"--base motion2 stands in --add motion\*, too"),
        ({"base": "saliency_m*", "add": ["saliency_*"]}, r"--base saliency_m\* stands in --add saliency_\*, too"),
        ({"target": "flat"}, "the scores of all clips are 1: there is nothing to predict, and no correlation is"),
        ({"base": ","}, "--base names no column"),
        ({"target": "score"}, "there is no column 'score'"),
        ({"folds": 1}, "--folds is 1: give at least 2"),
        ({"content": "scene"}, "there is no column 'scene'"),
        ({"add": ["flat"]}, "the columns of --add have one number in all rows: nothing can be learned"),
    ],
)
def test_options_that_cannot_be(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    path = write_scores(tmp_path / "t.parquet", 1, signal=0, flat=[1.0] * 120, words=["a"] * 120)
    with pytest.raises((ConfigError, InputError), match=message):
        ask([path], **options)


def test_few_clips_give_no_answer(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="12 clips of 12 contents are too few for an answer: it takes at least 20"):
        ask([write_scores(tmp_path / "t.parquet", 1, signal=0, clips=12)])
    with pytest.raises(ConfigError, match="answer needs a table"):
        ask([])


def test_a_table_without_scores_has_too_few_clips(tmp_path: Path) -> None:
    path = write_scores(tmp_path / "t.parquet", 1, signal=0, one=[None] * 119 + [2.0], text=["good"] * 120)
    for target, left in (("one", "1 clip of 1 content is"), ("text", "0 clips of 0 contents are")):
        with pytest.raises(InputError, match=f"{left} too few for an answer"):
            ask([path], target=target)
