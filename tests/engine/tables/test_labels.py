"""Scores of several tables on one scale, which the whole column proves and no single value."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from saliency_engine.errors import ConfigError, InputError
from saliency_engine.tables.labels import read_labels


def write(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


def read(tmp_path: Path, *texts: str, **options: Any) -> Any:
    return read_labels([write(tmp_path / f"l{number}.csv", text) for number, text in enumerate(texts)], **options)


def test_low_scores_of_100_stay_low(tmp_path: Path) -> None:
    """4.2 of 100 is no 4.2 of 5."""
    labels = read(tmp_path, "File,MOS\nA001.mp4,4.2\nA002.mp4,100\nA003.mp4,0\n")
    np.testing.assert_allclose(labels.mos, [1.168, 5, 1])
    assert labels.mos_raw_0_100.tolist() == [4.2, 100, 0]
    assert labels.tables[0].scale == (0, 100)
    assert labels.keys.tolist() == ["A001.mp4", "A002.mp4", "A003.mp4"]


def test_scores_of_5_are_left_as_they_are(tmp_path: Path) -> None:
    labels = read(tmp_path, "flickr_id,mos\n0012345,4.640000001\n7,1\n8,2.2\n")
    assert labels.keys.tolist() == ["0012345", "7", "8"]
    assert labels.mos.tolist() == [4.640000001, 1, 2.2]
    np.testing.assert_allclose(labels.mos_raw_0_100, [91.000000025, 0, 30])


def test_every_table_has_a_scale_of_its_own(tmp_path: Path) -> None:
    labels = read(tmp_path, "key,mos\na,3\nb,2\nc,1\n", "key,mos\nd,50\ne,0\nf,4\n")
    np.testing.assert_allclose(labels.mos, [3, 2, 1, 3, 1, 1.16])
    assert [table.scale for table in labels.tables] == [(1, 5), (0, 100)]
    assert labels.source.tolist() == [str(tmp_path / name) for name in ["l0.csv"] * 3 + ["l1.csv"] * 3]


@pytest.mark.parametrize("scores", ["1 2 5.5", "0.5 2 3", "-1 50 60", "1 50 101", "2 3"])
def test_a_scale_that_nothing_proves_must_be_stated(tmp_path: Path, scores: str) -> None:
    text = "key,mos\n" + "".join(f"{place},{score}\n" for place, score in enumerate(scores.split()))
    with pytest.raises(InputError, match=r"the scale of the column 'mos' cannot be told: its \d scores go from"):
        read(tmp_path, text)


def test_a_stated_scale_holds(tmp_path: Path) -> None:
    labels = read(tmp_path, "key,score\na,1\nb,9\nc,5\n", scale="1-9")
    assert labels.mos.tolist() == [1, 5, 3]
    with pytest.raises(InputError, match=r"1 of the scores in the column 'score' are outside .* 7 in row 2 \(b\)"):
        read(tmp_path, "key,score\na,1\nb,7\n", scale="1-5")
    for scale in ("5", "5-1", "one-five"):
        with pytest.raises(ConfigError, match="--label-scale is"):
            read(tmp_path, "key,score\na,1\n", scale=scale)


def test_the_columns_name_may_state_the_scale(tmp_path: Path) -> None:
    assert read(tmp_path, "key,mos_raw_0_100\na,2\nb,3\n").mos.tolist() == [1.08, 1.12]


def test_null_labels_are_counted(tmp_path: Path) -> None:
    labels = read(tmp_path, "key,mos\na,3\nb,\nc,n/a\nd,2\ne,4\n,4\n")
    assert (labels.nulls, labels.tables[0].nulls, labels.tables[0].without_key) == (2, 2, 1)
    np.testing.assert_array_equal(labels.mos, [3, np.nan, np.nan, 2, 4])


def test_labels_that_are_no_numbers_are_named(tmp_path: Path) -> None:
    table = read(tmp_path, "key,mos\na,3\nb,\nc,-inf\nd,2\ne,4\nf,good\n").tables[0]
    assert (table.nulls, table.no_numbers) == (1, 2)
    assert table.first_no_number == "'-inf' in row 3, which is infinite or too large"
    with pytest.raises(InputError, match=r"has not one score: '3,1' in row 1, with a decimal comma: write 3\.1"):
        read(tmp_path, 'key,mos\na,"3,1"\nb,"2,5"\n')


def test_a_label_stands_in_for_a_null_one(tmp_path: Path) -> None:
    labels = read(tmp_path, "key,mos\na,\nb,2\nc,3\nd,3\n", "key,mos\na,4\nb,\nx,1\ny,1\n")
    assert dict(zip(labels.keys, labels.mos, strict=True)) == {"a": 4, "b": 2, "c": 3, "d": 3, "x": 1, "y": 1}


def test_two_labels_for_one_key_are_refused(tmp_path: Path) -> None:
    rows = "src,mos\nx/a.mp4,3\ny/a.mp4,4\nc.mp4,2\n"
    with pytest.raises(InputError, match=r"the clip 'a.mp4' has two labels: 3 in .*l0.csv and 4 in .*l0.csv"):
        read(tmp_path, rows)
    assert read(tmp_path, rows, how="raw").mos.tolist() == [3, 4, 2]
    assert read(tmp_path, rows.replace("y/a.mp4,4", "y/a.mp4,3")).mos.tolist() == [3, 2]


def test_what_else_the_table_says_is_kept(tmp_path: Path) -> None:
    text = "key,mos,mos_std_dev,mos_n_ratings,split,corpus\na,30,25,12,train,x\nb,40,,,val,\nc,50,5,9,,x\n"
    labels = read(tmp_path, text, "key,mos\nd,4\ne,3\nf,2\n")
    np.testing.assert_allclose(labels.more["mos_std_dev"], [1, np.nan, 0.2] + [np.nan] * 3)
    assert labels.more["split"].tolist() == ["train", "val", None, None, None, None]
    assert labels.more["corpus"].tolist() == ["x", None, "x", None, None, None]
    assert labels.more.keys() == {"mos_std_dev", "mos_n_ratings", "split", "corpus"}


def test_columns_may_be_named_and_a_header_lack(tmp_path: Path) -> None:
    labels = read(tmp_path, "a.mp4,30\nb.mp4,80\n", key_column="column_1", mos_column="column_2", header=False)
    assert (labels.keys.tolist(), labels.mos_raw_0_100.tolist()) == (["a.mp4", "b.mp4"], [30, 80])
    with pytest.raises(InputError, match="no column is known to hold scores; name it with --label-mos-column"):
        read(tmp_path, "key,stars\na,3\n")
