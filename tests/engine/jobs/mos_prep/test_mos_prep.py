"""Tables of features and of scores become one table that heads are trained on, and nothing is done in silence."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.engine.jobs.mos_prep.feature_rows import CLIPS, TAGS, clip, run, write, write_labels

from saliency_engine.errors import ConfigError, InputError
from saliency_engine.jobs.mos_prep.run import prepare
from saliency_engine.jobs.mos_prep.settings import FEATURES, Settings


def test_a_row_has_what_a_trainer_reads(tmp_path: Path) -> None:
    manifest, rows = run(tmp_path, CLIPS)
    assert len(rows) == 60
    first = rows[0]
    assert [type(first[name]) for name in FEATURES] == [float] * 11
    assert {"key": first["key"], "adm2": first["adm2"], "mos": first["mos"]} == {
        "key": "0000.mp4",
        "adm2": 0.9,
        "mos": 1.0,
    }
    assert first["mos_raw_0_100"] == 0
    assert first["mos_label_status"] == "ok"
    assert {row["split"] for row in rows} == {"train", "val", "test"}
    assert all(row[name] == value for row in rows for name, value in TAGS.items())
    assert not any(value is None for row in rows for value in row.values())
    assert manifest["counts"]["clips"] == 60
    assert json.loads((tmp_path / "out" / "train.manifest.json").read_text()) == json.loads(json.dumps(manifest))


def test_clips_with_fewer_keyframes_are_no_mixture(tmp_path: Path) -> None:
    rows = [clip(number, saliency_sampling="keyframes:8@320x320") for number in range(59)]
    rows.append(clip(59, saliency_sampling="keyframes:6/8@320x320"))
    _, written = run(tmp_path, rows)
    assert {row["saliency_sampling"] for row in written} == {"keyframes:8@320x320"}


def test_failed_rows_are_dropped_with_a_counted_reason(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    failed = {"saliency_mean": None, "saliency_var": None, "saliency_model_id": None}
    rows = [
        *CLIPS[:50],
        *(clip(number, saliency_status="decode-failed", **failed) for number in (50, 51)),
        clip(52, saliency_status="missing-source", **failed),
        clip(53, saliency_status=None, **failed),
        clip(54, src=None),
    ]
    manifest, written = run(tmp_path, rows)
    counts = {"decode-failed": 2, "missing-source": 1, "without saliency": 1, "without a key": 1}
    assert manifest["counts"]["dropped"] == counts
    assert len(written) == 50
    assert "dropped     2 decode-failed" in capfd.readouterr().err


def test_the_rows_of_a_clip_are_pooled(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Without that, folds over rows have frames of one clip on both sides."""
    rows = [clip(number, adm2=0.5 + frame / 10, frame_index=frame) for number in range(30) for frame in range(5)]
    manifest, written = run(tmp_path, rows)
    assert len(written) == 30
    np.testing.assert_allclose([row["adm2"] for row in written], 0.7)
    assert "frame_index" not in written[0]
    assert manifest["counts"]["tables"][0]["pooled_clips"] == 30
    assert "has several rows of 30 clips: their mean is taken" in capfd.readouterr().err


def test_a_label_is_no_feature_whatever_it_is_called(tmp_path: Path) -> None:
    rows = [clip(number, subjective=1 + 4 * (number * 7 % 60) / 60) for number in range(60)]
    _, written = run(tmp_path, rows, labels=[], label_mos_column="subjective")
    assert written[7]["mos"] == rows[7]["subjective"]
    assert "subjective" not in written[0]


def test_tables_are_joined_by_key(tmp_path: Path) -> None:
    bare = [{name: row[name] for name in row if name != "adm2"} for row in CLIPS]
    vmaf = [{"clip_name": f"{number:04d}.mp4", "adm2": number / 100, "psnr": 40.0} for number in range(58)]
    tables = [write(tmp_path / "a.parquet", bare), write(tmp_path / "b.parquet", vmaf)]
    manifest, rows = run(tmp_path, [], tables=tables)
    assert [row["adm2"] for row in rows] == [number / 100 for number in range(58)] + [0.0, 0.0]
    assert [row["psnr"] for row in rows[56:]] == [40.0, 40.0, None, None]
    assert manifest["features"]["zero_filled"]["adm2"]["clips"] == 2
    tables.append(write(tmp_path / "c.parquet", [row | {"psnr": 41.0} for row in vmaf]))
    with pytest.raises(InputError, match=r"c\.parquet: 58 clips have another .* the first of them '0000.mp4'"):
        run(tmp_path, [], tables=tables)


def test_statistics_are_of_train_alone(tmp_path: Path) -> None:
    rows = [clip(number, split="train" if number < 40 else "val") for number in range(60)]
    manifest, _ = run(tmp_path, rows)
    described = manifest["statistics"]["columns"]["adm2"]
    own = np.array([row["adm2"] for row in rows[:40]])
    assert described == pytest.approx({"mean": own.mean(), "std": own.std(), "min": 0.9, "max": own.max(), "count": 40})


def test_numpy_gets_arrays(tmp_path: Path) -> None:
    _, rows = run(tmp_path, CLIPS, npz=str(tmp_path / "train.npz"))
    arrays = np.load(tmp_path / "train.npz")
    assert arrays["feature_names"].tolist() == list(FEATURES)
    np.testing.assert_array_equal(arrays["features"][:, 0], np.array([row["adm2"] for row in rows], np.float32))
    assert arrays["split"].tolist() == [row["split"] for row in rows]
    assert arrays["features"].dtype == arrays["mos"].dtype == np.float32


def test_the_manifest_says_where_everything_is_from(tmp_path: Path) -> None:
    manifest, rows = run(tmp_path, CLIPS)
    provenance = manifest["run_provenance"]
    features = hashlib.sha256((tmp_path / "features.parquet").read_bytes()).hexdigest()
    assert provenance["inputs"]["table_0"]["sha256"] == features
    assert set(provenance["inputs"]) == {"table_0", "labels_0"}
    output = hashlib.sha256((tmp_path / "out" / "train.parquet").read_bytes()).hexdigest()
    assert provenance["outputs"]["output"]["sha256"] == output
    croissant = json.loads((tmp_path / "out" / "train.croissant.json").read_text())
    assert croissant["conformsTo"] == "http://mlcommons.org/croissant/1.1"
    assert croissant["distribution"][0]["sha256"] == output
    fields = croissant["recordSet"][0]["field"]
    assert [field["name"] for field in fields] == list(rows[0]) == [column["name"] for column in manifest["columns"]]


def test_each_table_has_a_manifest_of_its_own(tmp_path: Path) -> None:
    """Names may have dots, as those of sweeps do."""
    table, labels = write(tmp_path / "features.parquet", CLIPS), [write_labels(tmp_path / "labels.csv", 60)]
    for name in ("train.mean.parquet", "train.ema0.3.parquet", "train.csv.gz"):
        prepare(Settings(tables=[table], labels=labels, output=str(tmp_path / "out" / name)))
    stems = ("train", "train.ema0.3", "train.mean")
    made = [f"{stem}.{kind}.json" for stem in stems for kind in ("croissant", "manifest")]
    assert sorted(path.name for path in (tmp_path / "out").glob("*.json")) == sorted(made)
    described = json.loads((tmp_path / "out" / "train.ema0.3.croissant.json").read_text())
    assert described["name"] == "train.ema0.3"


def test_nothing_is_written_over_what_is_read(tmp_path: Path) -> None:
    table = write(tmp_path / "features.parquet", CLIPS)
    labels = [write_labels(tmp_path / "labels.csv", 60)]
    with pytest.raises(ConfigError, match="would overwrite"):
        prepare(Settings(tables=[table], labels=labels, output=table))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tables": []}, "no table is given"),
        ({"min_match_rate": 2.0}, "--min-match-rate is 2.0: give a share from 0 to 1"),
        ({"folds": 2}, "--folds is 2"),
        ({"split": "explicit"}, "--split explicit: no table has a column 'split'"),
        ({"content_column": "scene"}, r"no table has a column 'scene' \(--content\)"),
    ],
)
def test_options_that_cannot_be(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    given = {"tables": [write(tmp_path / "f.parquet", CLIPS)], "labels": [write_labels(tmp_path / "l.csv", 60)]}
    with pytest.raises((ConfigError, InputError), match=message):
        prepare(Settings(output=str(tmp_path / "train.parquet"), **(given | options)))
    assert not (tmp_path / "train.parquet").exists()


def test_three_contents_are_needed(tmp_path: Path) -> None:
    message = "the clips are of 1 content, but three are needed: one to train with, .* give --split explicit"
    with pytest.raises(InputError, match=message):
        run(tmp_path, [clip(number, content="city") for number in range(60)])
    with pytest.raises(InputError, match="the clips are of 2 contents, but three"):
        run(tmp_path, [clip(number, content=f"city {number % 2}") for number in range(60)])
    _, rows = run(tmp_path, [clip(number, content=f"city {number % 3}") for number in range(60)])
    assert {row["split"] for row in rows} == {"train", "val", "test"}


def test_a_table_without_saliency_says_so(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run(tmp_path, [{"src": row["src"], "adm2": row["adm2"]} for row in CLIPS])
    assert "\nsaliency    none\n" in capfd.readouterr().err
    run(tmp_path, [{"src": row["src"], "saliency_mean": row["saliency_mean"]} for row in CLIPS])
    assert "\nsaliency    no table says how it was made\n" in capfd.readouterr().err


def test_empty_tables_have_no_rows(tmp_path: Path) -> None:
    (tmp_path / "f.csv").write_text("brightness\n")
    with pytest.raises(InputError, match=r"f\.csv: it has no rows"):
        run(tmp_path, [], tables=[str(tmp_path / "f.csv")])
    (tmp_path / "l.csv").write_text("a,b\n")
    with pytest.raises(InputError, match=r"l\.csv: it has no rows"):
        run(tmp_path, CLIPS, labels=[str(tmp_path / "l.csv")])


def test_no_clip_left(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no clip is left: 60 decode-failed"):
        run(tmp_path, [clip(number, saliency_status="decode-failed") for number in range(60)])
