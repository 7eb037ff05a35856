"""Saliency of several models, aggregators, samplings and prefixes in the tables of `mos-prep`: one kind a column."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.engine.jobs.mos_prep.feature_rows import CLIPS, clip, run, write

from saliency_engine.errors import InputError


@pytest.mark.parametrize(
    "other",
    [
        {"saliency_model_id": "saliency_student_v2"},
        {"saliency_aggregator": "max"},
        {"saliency_aggregator": "ema", "saliency_ema_alpha": 0.9},
        {"saliency_sampling": "uniform:8@320x320"},
    ],
    ids=lambda other: "-".join(map(str, other.values())),
)
def test_saliency_of_several_kinds_is_refused(tmp_path: Path, other: dict[str, Any]) -> None:
    rows = [clip(number, **(other if number >= 40 else {})) for number in range(60)]
    with pytest.raises(
        InputError, match=r"saliency of several kinds.*u2netp_mirror_v1, mean, head.* \(40 clips\).*20 clips"
    ):
        run(tmp_path, rows)


def test_several_kinds_may_be_told_apart_by_a_column(tmp_path: Path) -> None:
    tables = [
        write(tmp_path / "a.parquet", CLIPS),
        write(
            tmp_path / "b.parquet", [clip(number, saliency_model_id="v2", saliency_mean=0.5) for number in range(60)]
        ),
        write(tmp_path / "c.parquet", [{"src": row["src"], "motion2": 3.0} for row in CLIPS]),
    ]
    manifest, rows = run(tmp_path, [], tables=tables, allow_mixed=True)
    assert len(rows) == 120
    assert {row["motion2"] for row in rows} == {3.0}
    flags = [(row["saliency_model_id_is_u2netp_mirror_v1"], row["saliency_model_id_is_v2"]) for row in rows]
    assert (flags.count((1.0, 0.0)), flags.count((0.0, 1.0))) == (60, 60)
    splits: dict[str, set[str]] = {}
    for row in rows:
        splits.setdefault(row["key"], set()).add(row["split"])
    assert all(len(each) == 1 for each in splits.values())  # a clip's two rows never part
    assert len(manifest["saliency"]) == 2


@pytest.mark.parametrize("allow_mixed", [False, True])
def test_tags_that_do_not_contradict_are_of_one_kind(tmp_path: Path, allow_mixed: bool) -> None:
    """As where another program writes no sampling, and another alpha where none matters."""
    others = [{name: value for name, value in row.items() if name != "saliency_sampling"} for row in CLIPS]
    others = [row | {"saliency_ema_alpha": 0.3, "motion2": number} for number, row in enumerate(others)]
    tables = [write(tmp_path / "a.parquet", CLIPS), write(tmp_path / "b.parquet", others)]
    manifest, rows = run(tmp_path, [], tables=tables, allow_mixed=allow_mixed)
    assert [row["motion2"] for row in rows] == [float(number) for number in range(60)]
    assert manifest["saliency"] == ["u2netp_mirror_v1, mean, head:8@320x320"]


def test_rows_of_a_clip_are_pooled_though_not_all_say_what_they_are(tmp_path: Path) -> None:
    rows = [clip(number, adm2=1.0 + 2 * frame, frame_index=frame) for number in range(60) for frame in range(2)]
    for row in rows[1::2]:
        row["saliency_sampling"] = None
    _, written = run(tmp_path, rows)
    assert [row["adm2"] for row in written] == [2.0] * 60


def test_what_has_no_tags_is_not_taken_for_what_a_prefix_names(tmp_path: Path) -> None:
    rows = [{"src": row["src"]} | of_prefix(row, "x_") for row in CLIPS]
    rows = [row | {"saliency_mean": 0.99, "saliency_var": 0.09} for row in rows]
    _, written = run(tmp_path, rows, prefix="x_")
    assert [row["saliency_mean"] for row in written] == [row["saliency_mean"] for row in CLIPS]


def test_columns_of_another_prefix_are_taken(tmp_path: Path) -> None:
    rows = [
        {"src": row["src"]} | {f"v1_{name.removeprefix('saliency_')}": row[name] for name in row if "saliency" in name}
        for row in CLIPS
    ]
    manifest, written = run(tmp_path, rows, prefix="v1_")
    assert written[5]["saliency_mean"] == CLIPS[5]["saliency_mean"]
    assert manifest["saliency"] == ["u2netp_mirror_v1, mean, head:8@320x320"]


def of_prefix(row: dict[str, Any], prefix: str) -> dict[str, Any]:
    return {prefix + name.removeprefix("saliency_"): row[name] for name in row if name.startswith("saliency_")}


def test_one_point_of_a_wide_table_is_taken_by_its_prefix(tmp_path: Path) -> None:
    failed = {"saliency_mean": None, "saliency_var": None, "saliency_status": "decode-failed"}
    rows = [
        {"src": row["src"], "adm2": row["adm2"]}
        | of_prefix(row, "saliency_mean_")
        | of_prefix(row | {"saliency_mean": 0.7 + number / 1000} | (failed if number > 57 else {}), "saliency_ema0.3_")
        for number, row in enumerate(CLIPS)
    ]
    choices = r"2 settings, .* take one with --prefix saliency_mean_ or --prefix saliency_ema0\.3_$"
    for prefix in ("", "saliency_", "v1_"):
        with pytest.raises(InputError, match=choices):
            run(tmp_path, rows, prefix=prefix)
    manifest, written = run(tmp_path, rows, prefix="saliency_ema0.3_")
    assert [row["saliency_mean"] for row in written] == pytest.approx([0.7 + number / 1000 for number in range(58)])
    assert manifest["counts"]["dropped"] == {"decode-failed": 2}
    assert not [name for name in written[0] if name.startswith(("saliency_mean_", "saliency_ema0.3_"))]
    assert manifest["features"]["stand_ins"] == {}


def test_another_prefix_is_taken_only_when_asked_for(tmp_path: Path) -> None:
    rows = [{"src": row["src"]} | of_prefix(row, "saliency_mean_") for row in CLIPS]
    with pytest.raises(InputError, match="do not begin with 'saliency_': give --prefix saliency_mean_ to take them"):
        run(tmp_path, rows)
    _, written = run(tmp_path, rows, prefix="saliency_mean_")
    assert written[5]["saliency_mean"] == CLIPS[5]["saliency_mean"]
