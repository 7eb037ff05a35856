"""Scores that clips get from tables of labels, and clips that get none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.engine.jobs.mos_prep.feature_rows import CLIPS, clip, run, write_labels

from saliency_engine.errors import InputError


def test_null_labels_are_counted_and_not_fatal(tmp_path: Path) -> None:
    text = "".join(f"{number:04d}.mp4,{'' if number % 20 == 3 else 1 + number % 5}\n" for number in range(60))
    manifest, rows = run(tmp_path, CLIPS, labels=[write_labels(tmp_path / "l.csv", 0, text)])
    assert (len(rows), manifest["labels"]["null"]) == (57, 3)
    assert manifest["counts"]["dropped"] == {"with a null label": 3}


def test_labels_that_are_no_numbers_are_told_from_null_ones(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    odd = {3: '"4,5"', 4: "inf", 5: "", 6: "bad", 7: "1e999"}
    text = "".join(f"{number:04d}.mp4,{odd.get(number, 1 + number % 5)}\n" for number in range(60))
    labels = [write_labels(tmp_path / "l.csv", 0, text)]
    first = r"'4,5' in row 4, with a decimal comma: write 4\.5"
    message = rf"55 of 60 clips have a score, .* 0\.95: the labels of 5 have none \(.*l\.csv has {first}\)"
    with pytest.raises(InputError, match=message):
        run(tmp_path, CLIPS, labels=labels)
    manifest, rows = run(tmp_path, CLIPS, labels=labels, min_match_rate=0.9)
    assert len(rows) == 55
    assert manifest["labels"]["null"] == 1
    assert manifest["counts"]["dropped"] == {"with a label that is no number": 4, "with a null label": 1}
    warning = "l.csv: 4 of the labels in mos are no numbers, the first of them '4,5' in row 4, with a decimal comma"
    assert warning in capfd.readouterr().err


def test_too_few_matches_are_refused_with_a_way_out(tmp_path: Path) -> None:
    stems = "".join(f"{number:04d},{1 + number % 5}\n" for number in range(60))
    labels = [write_labels(tmp_path / "l.csv", 0, stems)]
    with pytest.raises(
        InputError, match=r"0 of 60 clips .* called '0000.mp4' here and '0000' in .*stem 60 would match"
    ):
        run(tmp_path, CLIPS, labels=labels)
    _, rows = run(tmp_path, CLIPS, labels=labels, key_normalize="stem")
    assert [row["key"] for row in rows][:2] == ["0000", "0001"]
    with pytest.raises(InputError, match=r"50 of 60 clips have a label, which is less than --min-match-rate 0.95"):
        run(tmp_path, CLIPS, labels=[write_labels(tmp_path / "l50.csv", 50)])
    manifest, rows = run(tmp_path, CLIPS, labels=[write_labels(tmp_path / "l50.csv", 50)], min_match_rate=0.8)
    assert (len(rows), manifest["counts"]["dropped"]) == (50, {"without a label": 10})


def test_labels_may_stand_in_the_table_itself(tmp_path: Path) -> None:
    manifest, rows = run(
        tmp_path, [clip(number, mos=20.0 + number, mos_std_dev=10.0) for number in range(60)], labels=[]
    )
    np.testing.assert_allclose([row["mos"] for row in rows], [1 + 0.04 * (20 + number) for number in range(60)])
    assert manifest["labels"]["tables"][0]["scale"] == [0, 100]
    assert rows[0]["mos_std_dev"] == pytest.approx(0.4)
