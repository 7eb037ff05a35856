"""``--extra`` where the memo or the rows have some numbers already: only what lacks is measured, never mislabelled."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.engine.journeys.extras.runs import ALL, SALIENCY, enrich, read
from tests.rows import read_rows

from saliency_engine.errors import InputError
from saliency_engine.extras import EXTRAS
from saliency_engine.pipeline.frame_batch import FrameBatch
from saliency_engine.pipeline.pool import DecodePool


def refuse_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*_: Any) -> None:
        raise AssertionError("the model runs")

    monkeypatch.setattr(FrameBatch, "run", run)


def refuse_to_decode(monkeypatch: pytest.MonkeyPatch) -> None:
    def submit(_: DecodePool, request: Any) -> None:
        raise AssertionError(f"{request} is decoded")

    monkeypatch.setattr(DecodePool, "submit", submit)


def test_a_memo_without_them_keeps_its_saliency(table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The model is not run again; and in the end the table is that of one run with all of them."""
    enrich(table, tmp_path / "whole" / "out.jsonl", *ALL)
    enrich(table, tmp_path / "plain.jsonl")
    refuse_the_model(monkeypatch)
    audit = enrich(table, tmp_path / "more.jsonl", "luma", "texture")
    assert {name: audit["clips"][name] for name in ("computed", "reused", "failed")} == {
        "computed": 0,
        "reused": 2,
        "failed": 0,
    }
    enrich(table, tmp_path / "all.jsonl", *ALL)
    refuse_to_decode(monkeypatch)
    enrich(table, tmp_path / "again.jsonl", *reversed(ALL), temporal_aggregator="mean")
    whole = (tmp_path / "whole" / "out.jsonl").read_bytes()
    assert (tmp_path / "all.jsonl").read_bytes() == (tmp_path / "again.jsonl").read_bytes() == whole
    # What follows from the frames' maps needs no decoder, however old the entry is.
    enrich(table, tmp_path / "ema.jsonl", "spread", temporal_aggregator="ema")
    assert [row.get("saliency_p10") for row in read_rows(tmp_path / "ema.jsonl")] == [
        row.get("saliency_p10") for row in read_rows(tmp_path / "all.jsonl")
    ]


def test_what_is_asked_for_later_is_measured_alone(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    enrich(table, tmp_path / "a.jsonl", "shots")
    submit, asked = DecodePool.submit, []

    def note(pool: DecodePool, request: Any) -> None:
        asked.append(request.extra)
        submit(pool, request)

    monkeypatch.setattr(DecodePool, "submit", note)
    enrich(table, tmp_path / "b.jsonl", "shots", "luma", "spread")
    assert asked == [("luma",), ("luma",)]


@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet"])
def test_rows_that_have_all_of_them_are_left_alone(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    first, second = tmp_path / f"first.{kind}", tmp_path / f"second.{kind}"
    enrich(table, first, "luma")
    audit = enrich(first, second, "luma", "texture", memo="off")
    assert (audit["summary"]["ok"], audit["summary"]["skipped_existing"]) == (3, 0)
    refuse_to_decode(monkeypatch)
    for extra in [("texture", "luma"), ("luma",), ()]:
        audit = enrich(second, tmp_path / f"third.{kind}", *extra, memo="off")
        assert (audit["summary"]["ok"], audit["summary"]["skipped_existing"]) == (0, 3)
    kept = read(tmp_path / f"third.{kind}")
    columns = ["saliency_mean", *EXTRAS["luma"], *EXTRAS["texture"]]
    assert kept.select(columns).equals(read(second).select(columns))


@pytest.mark.parametrize(
    ("kind", "has_tags"), [("jsonl", True), ("parquet", True), ("jsonl", False), ("csv", False), ("arrow", False)]
)
def test_numbers_of_other_settings_are_not_replaced_unasked(
    table: Path, tmp_path: Path, kind: str, has_tags: bool
) -> None:
    """Rows of another aggregator, or without tags, lack the columns: they cannot be completed with this run's."""
    names = {} if has_tags else {f"{role}_column": "" for role in ("model_id", "aggregator", "ema_alpha", "sampling")}
    enrich(table, tmp_path / f"max.{kind}", temporal_aggregator="max", **names)
    why = "aggregator 'max'" if has_tags else "3 without a tag"
    with pytest.raises(InputError, match=f"3 rows lack columns of --extra, .*{why}.*--overwrite.*--prefix"):
        enrich(tmp_path / f"max.{kind}", tmp_path / f"out.{kind}", "luma")
    assert not (tmp_path / f"out.{kind}").exists()
    enrich(tmp_path / f"max.{kind}", tmp_path / f"out.{kind}", "luma", overwrite=True)
    enrich(tmp_path / f"max.{kind}", tmp_path / f"beside.{kind}", "luma", "spread", prefix="v1_")
    beside = read(tmp_path / f"beside.{kind}")
    assert beside["saliency_mean"].equals(read(tmp_path / f"max.{kind}")["saliency_mean"])
    assert {name for name in beside.column_names if name.startswith("v1_")} == {
        f"v1_{role}" for role in (*SALIENCY, *EXTRAS["luma"], *EXTRAS["spread"])
    }
    assert beside["v1_y_avg"].equals(read(tmp_path / f"out.{kind}")["y_avg"])


def test_a_clip_that_has_gone_bad_keeps_its_saliency(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It cannot be decoded any more, as where decoding is given up after --clip-timeout."""
    enrich(table, tmp_path / "a.jsonl")
    refuse_the_model(monkeypatch)
    monkeypatch.setattr("saliency_engine.pipeline.pool._LOOK_COUNTS", 1e9)
    enrich(table, tmp_path / "b.jsonl", "luma", clip_timeout=0.1, max_pixels=1000)
    first, before = read_rows(tmp_path / "b.jsonl")[0], read_rows(tmp_path / "a.jsonl")[0]
    assert {name: first[name] for name in before} == before
    assert first["saliency_error"].startswith("--extra luma could not be measured: ")
    assert first.keys() - before.keys() == {"saliency_error", "frame_diff_mean"}
