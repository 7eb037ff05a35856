"""How `mos-prep` divides clips: by content, by fold, by a rule, or as the table says."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from tests.engine.jobs.mos_prep.feature_rows import CLIPS, clip, run

from saliency_engine.errors import InputError


def test_versions_of_a_content_stay_together(tmp_path: Path) -> None:
    rows = [clip(number, content=f"scene {number // 6}") for number in range(60)]
    manifest, written = run(tmp_path, rows)
    assert manifest["counts"]["contents"] == 10
    for scene in range(10):
        assert len({row["split"] for row in written[6 * scene : 6 * scene + 6]}) == 1
    assert manifest["splits"]["clips"] == {"train": 48, "val": 6, "test": 6}
    again, _ = run(tmp_path, rows)
    other, _ = run(tmp_path, rows, seed=1)
    assert again["splits"] == manifest["splits"]
    assert other["splits"]["seed"] == 1


@pytest.mark.parametrize(("column", "option"), [("scene", "scene"), ("content_name", ""), ("content_id", "")])
def test_the_table_of_scores_may_say_what_clips_show(tmp_path: Path, column: str, option: str) -> None:
    lines = [f"{number:04d}.mp4,{1 + 4 * (number * 7 % 60) / 60},scene {number // 6}\n" for number in range(60)]
    labels = tmp_path / "scores.csv"
    labels.write_text(f"name,mos,{column}\n" + "".join(lines))
    manifest, written = run(tmp_path, CLIPS, labels=[str(labels)], label_key_column="name", content_column=option)
    assert manifest["counts"]["contents"] == 10
    assert [row["content"] for row in written] == [f"scene {number // 6}" for number in range(60)]


def test_the_column_that_was_named_is_the_one_that_is_used(tmp_path: Path) -> None:
    """In both tables, beside others with the usual names."""
    lines = [f"{number:04d}.mp4,{1 + 4 * (number * 7 % 60) / 60},wrong,s{number // 6}\n" for number in range(60)]
    (tmp_path / "scores.csv").write_text("name,mos,content,scene\n" + "".join(lines))
    rows = [clip(number, content="wrong, too") for number in range(60)]
    _, written = run(tmp_path, rows, labels=[str(tmp_path / "scores.csv")], content_column="scene")
    assert [row["content"] for row in written] == [f"s{number // 6}" for number in range(60)]


def test_scores_are_spread_over_the_folds(tmp_path: Path) -> None:
    _, rows = run(tmp_path, CLIPS, folds=3)
    means = [np.mean([row["mos"] for row in rows if row["fold"] == fold]) for fold in range(3)]
    assert np.ptp(means) < 0.25


def test_chug_is_divided_by_its_own_rule(tmp_path: Path) -> None:
    """The rule of the contract, written again: BLAKE2s of 8 bytes as a fraction."""
    rows = [clip(number, chug_content_name=f"content-{number // 2}") for number in range(60)]
    manifest, written = run(tmp_path, rows)
    assert manifest["splits"]["rule"] == "chug"
    for row in written:
        digest = hashlib.blake2s(b"chug-hdr-v1\0" + row["content"].encode(), digest_size=8).hexdigest()
        part = int(digest, 16) / 2**64
        assert row["split"] == ("train" if part < 0.8 else "val" if part < 0.9 else "test")
    assert len({row["split"] for row in written}) > 1


def test_splits_of_the_table_are_kept_and_leaks_told(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    splits = ["k150ka"] * 40 + ["Validation"] * 10 + ["test"] * 10
    rows = [clip(number, split=splits[number], content=f"scene {number // 8}") for number in range(60)]
    manifest, written = run(tmp_path, rows)
    assert [row["split"] for row in written] == ["train"] * 40 + ["val"] * 10 + ["test"] * 10
    assert manifest["splits"]["leaking_contents"] == {"count": 1, "examples": ["scene 6"]}
    assert "1 content is in several splits: scores on val and test will be too good" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("split", "message"),
    [(None, "1 of 60 clips have no split"), ("fold3", "holds 'fold3', which is none of train, val and test")],
)
def test_odd_splits_are_refused(tmp_path: Path, split: str | None, message: str) -> None:
    rows = [clip(number, split=split if number == 5 else "train") for number in range(60)]
    with pytest.raises(InputError, match=message):
        run(tmp_path, rows)
    manifest, _ = run(tmp_path, rows, split="folds")
    assert manifest["splits"]["rule"] == "folds"


def test_frames_of_a_clip_in_two_splits_are_refused(tmp_path: Path) -> None:
    rows = [clip(number, split=split) for number in range(60) for split in ("train", "val")]
    with pytest.raises(InputError, match=r"rows of the clip '0000.mp4' are in the splits 'train' and 'val'"):
        run(tmp_path, rows)
