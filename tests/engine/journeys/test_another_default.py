"""A release with another default model: what becomes of tables and memos that the old one has filled."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from tests.rows import read_rows, write_clips

from saliency_engine.config import RunConfig
from saliency_engine.errors import InputError
from saliency_engine.jobs.run import run_table
from saliency_engine.table_job import TableJob

OLD = {"model": "frequency_tuned_v1"}


@pytest.fixture
def table(tmp_path: Path, clips: dict[str, Path]) -> Path:
    """Two clips of which the second comes later, in a folder with what the old default has made of them."""
    shutil.copyfile(clips["bikes"], tmp_path / "bikes.mp4")
    table = write_clips(tmp_path / "in.jsonl", ["bikes.mp4", "late.mp4"])
    enrich(table, tmp_path / "out.jsonl", **OLD)
    shutil.copyfile(clips["carphone_pristine"], tmp_path / "late.mp4")
    return table


def enrich(source: Path, output: Path, **options: Any) -> dict[str, Any]:
    """The audit of one run in this process."""
    config = RunConfig(root=str(source.parent), decode_workers=1, threads=1, **options)
    return run_table(TableJob(input=str(source), output=str(output), quiet=True), config)


def test_a_table_that_keeps_numbers_of_the_old_default_is_refused(table: Path) -> None:
    output = table.with_name("out.jsonl")
    before = output.read_bytes()
    with pytest.raises(InputError) as refusal:
        enrich(output, output)
    message = str(refusal.value)
    assert message.startswith("1 rows keep numbers that other settings made (1 with ")
    assert "'frequency_tuned_v1' (this run: 'saliency_open_v1')" in message
    assert output.read_bytes() == before
    enrich(output, output, **OLD)
    assert [row["saliency_model_id"] for row in read_rows(output)] == ["frequency_tuned_v1"] * 2


def test_a_finished_table_keeps_its_numbers_and_tags(table: Path) -> None:
    output = table.with_name("out.jsonl")
    enrich(output, output, **OLD)
    before = read_rows(output)
    audit = enrich(output, output)
    assert [{**row, "saliency_status": "ok"} for row in read_rows(output)] == [
        {**row, "saliency_status": "ok"} for row in before
    ]
    assert audit["kept"]["other_settings"] == 2


def test_the_same_command_computes_all_rows_anew_and_the_memo_has_both(table: Path) -> None:
    output = table.with_name("out.jsonl")
    enrich(table, output, **OLD)
    old = read_rows(output)
    audit = enrich(table, output)
    new = read_rows(output)
    assert (audit["clips"]["computed"], audit["clips"]["reused"]) == (2, 0), "nothing of the old model's"
    assert [row["saliency_model_id"] for row in new] == ["saliency_open_v1"] * 2
    assert all(a["saliency_mean"] != b["saliency_mean"] for a, b in zip(old, new, strict=True))
    audit = enrich(table, output, **OLD)
    assert (audit["clips"]["computed"], audit["clips"]["reused"]) == (0, 2)
    assert read_rows(output) == old
