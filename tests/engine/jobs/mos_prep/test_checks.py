"""What is told of features and scores that a head would learn wrong things from."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.engine.jobs.mos_prep.feature_rows import CLIPS, clip, run, write_labels


def test_zeros_that_stand_for_nothing_are_named(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    rows = [clip(number, vif_scale0_mean=0.5, motion2=None if number == 7 else 2.0) for number in range(60)]
    manifest, written = run(tmp_path, rows)
    zero = manifest["features"]["zero_filled"]
    assert zero["motion2"] == {"clips": 1, "all": False}
    assert zero["shot_cut_density"] == {"clips": 60, "all": True}
    assert "vif_scale0" not in zero
    assert manifest["features"]["stand_ins"] == {"vif_scale0": 60}
    assert {row["vif_scale0"] for row in written} == {0.5}
    errors = capfd.readouterr().err
    assert (
        "no table has vif_scale1, vif_scale2, vif_scale3, shot_count_norm, shot_mean_len_norm, shot_cut_density"
        in errors
    )
    assert "motion2 is missing in 1 clip: 0.0 there" in errors
    assert "the same number in every row: vif_scale0, " in errors


def test_scores_that_are_all_the_same_are_warned_of(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    text = "".join(f"{number:04d}.mp4,3\n" for number in range(60))
    manifest, _ = run(tmp_path, CLIPS, labels=[write_labels(tmp_path / "l.csv", 0, text)])
    assert manifest["labels"]["constant"] is True
    assert "all clips have the same score: nothing can be learned" in capfd.readouterr().err
    assert run(tmp_path, CLIPS)[0]["labels"]["constant"] is False


def test_infinite_features_are_not_called_missing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    odd = {7: {"motion2": float("inf")}, 8: {"saliency_var": float("inf")}}
    rows = [clip(number, **({"motion2": 2.0} | odd.get(number, {}))) for number in range(60)]
    manifest, written = run(tmp_path, rows)
    assert manifest["counts"]["dropped"] == {"with infinite saliency": 1}
    assert len(written) == 59
    errors = capfd.readouterr().err
    assert "features.parquet: motion2 is infinite in 1 row\n" in errors
    assert "motion2 is missing or infinite in 1 clip: 0.0 there" in errors


def test_clips_that_are_alike_and_numbers_that_cannot_be(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    rows = [
        clip(number % 50, src=f"k/{number:04d}.mp4", split="train" if number < 50 else "test") for number in range(60)
    ]
    rows[20]["saliency_mean"], rows[21]["saliency_var"] = 1.5, 0.3
    manifest, _ = run(tmp_path, rows)
    features = manifest["features"]
    assert (features["duplicates"], features["leaking_duplicates"]) == (10, 20)
    assert features["examples"][0] == ["0000.mp4", "0050.mp4"]
    assert {name: odd["clips"] for name, odd in features["out_of_range"].items()} == {
        "saliency_mean": 1,
        "saliency_var": 1,
    }
    errors = capfd.readouterr().err
    assert "10 clips have the numbers of another one (0000.mp4 = 0050.mp4)" in errors
    assert "20 clips with equal numbers are in several splits" in errors
    assert "no clip is in the split val" in errors


def test_a_column_that_is_made_of_the_scores_is_told(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    rows = [clip(number, mos=1 + number % 5, rank=500 - 100 * (number % 5)) for number in range(60)]
    manifest, _ = run(tmp_path, rows, labels=[])
    assert manifest["features"]["label_copies"] == {"rank": pytest.approx(-1)}
    assert "rank goes with the scores as if made from them (r = -1.000)" in capfd.readouterr().err
