"""Rows with numbers of other settings than a run has: they stop it, or stay with their own tags, and are told of."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from tests.engine.journeys.tags.runs import FORMATS, enrich, read
from tests.in_process import run, stderr_of
from tests.rows import write_rows

from saliency_engine.config import RunConfig
from saliency_engine.errors import InputError
from saliency_engine.pipeline.engine import Engine
from saliency_engine.tags import TAG_ROLES


@pytest.fixture
def table(tmp_path: Path, clips: dict[str, Path], request: pytest.FixtureRequest) -> Path:
    """Four clips with numbers of ``frequency_tuned_v1``, one of which failed: its file has come since."""
    for name in ("bikes", "carphone_pristine"):
        shutil.copyfile(clips[name], tmp_path / f"{name}.mp4")
    rows = [{"src": f"{name}.mp4"} for name in ("bikes", "late", "carphone_pristine", "bikes")]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    path = tmp_path / f"table.{getattr(request, 'param', 'jsonl')}"
    run(tmp_path / "in.jsonl", "-o", path, "--root", tmp_path, "--model", "frequency_tuned_v1", code=1)
    shutil.copyfile(clips["bikes"], tmp_path / "late.mp4")
    return path


CHANGES: dict[str, dict[str, Any]] = {
    "model": {},
    "aggregator": {"temporal_aggregator": "max"},
    "alpha": {"temporal_aggregator": "ema", "ema_alpha": 0.9},
    "sampling": {"sampling": "uniform"},
}


@pytest.mark.parametrize(
    ("table", "change"),
    [*((kind, "model") for kind in FORMATS), ("jsonl", "aggregator"), ("parquet", "alpha"), ("csv", "sampling")],
    indirect=["table"],
)
def test_kept_rows_of_other_settings_stop_the_run(
    table: Path, change: str, other_model: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    options = CHANGES[change] or {"model_path": str(other_model)}
    if change == "alpha":  # the numbers must be of ema, and one row still to do
        late = table.with_name("late.mp4")
        late.rename(table.with_name("hidden.mp4"))
        enrich(table, table, temporal_aggregator="ema", overwrite=True)
        table.with_name("hidden.mp4").rename(late)
    before, output = table.read_bytes(), table.with_stem("out")
    with pytest.raises(InputError) as refusal:
        enrich(table, output, **options)
    message = str(refusal.value)
    assert message.startswith("3 rows keep numbers that other settings made (3 with ")
    assert change in message.partition("made (")[2]
    assert "1 rows would get numbers" in message
    assert all(cure in message for cure in ("--overwrite", "--prefix", "--keep-others"))
    assert not output.exists()
    assert table.read_bytes() == before

    capfd.readouterr()
    kept = enrich(table, output, keep_others=True, **options)["kept"]
    stderr = capfd.readouterr().err
    assert "3 with numbers of other settings" in stderr
    assert stderr.splitlines()[-1] == "saliency-batch: total=4 ok=1 skipped=3 failed=0 other_settings=3"
    assert (kept["other_settings"], [one["rows"] for one in kept["others"]]) == (3, [3])
    tags = [tuple(row[f"saliency_{role}"] for role in TAG_ROLES) for row in read(output)]
    assert len(set(tags)) == 2
    assert tags.count(tags[0]) == 3

    enrich(table, output, overwrite=True, **options)
    assert len({tuple(row[f"saliency_{role}"] for role in TAG_ROLES) for row in read(output)}) == 1


@pytest.mark.parametrize("table", FORMATS, indirect=True)
def test_a_table_of_other_settings_that_needs_nothing_is_told_in_the_last_line(table: Path) -> None:
    enrich(table, table)
    before = read(table)
    options = ("--root", table.parent, "--model", "frequency_tuned_v1", "--temporal-aggregator", "ema")
    for quiet in ((), ("--quiet",)):
        last = run(table, "-o", table, *options, *quiet, text=True)
        last_line = last.stderr.splitlines()[-1]
        assert last_line.startswith("saliency-batch: total=4 ok=0 skipped=4 failed=0 other_settings=4")
        assert "4 rows keep numbers that other settings than those asked for made" in last_line
        assert "aggregator 'mean' (this run: 'ema')" in last_line
    strip = [{**row, "saliency_status": ""} for row in before]
    assert [{**row, "saliency_status": ""} for row in read(table)] == strip


def test_another_alpha_matters_for_ema_alone(table: Path) -> None:
    assert enrich(table, table, ema_alpha=0.9)["kept"]["other_settings"] == 0


def test_an_alpha_beyond_all_numbers_is_another_one(tmp_path: Path, clips: dict[str, Path]) -> None:
    """One such line ended the run with a traceback."""
    numbers: dict[str, Any] = {"saliency_mean": 0.5, "saliency_var": 0.1, "saliency_aggregator": "ema"}
    row = {"src": str(clips["bikes"]), **numbers, "saliency_ema_alpha": int("1" * 400)}
    source, audit = write_rows(tmp_path / "in.jsonl", [row]), tmp_path / "audit.json"
    enrich(source, tmp_path / "out.jsonl", str(audit), temporal_aggregator="ema")
    kept = json.loads(audit.read_text(), parse_constant=pytest.fail)["kept"]
    assert [(other["ema_alpha"], other["rows"]) for other in kept["others"]] == [("inf", 1)]
    write_rows(source, [row, {"src": str(clips["bikes"])}])
    with pytest.raises(InputError, match=r"1 with alpha inf \(this run: 0\.6\)"):
        enrich(source, tmp_path / "out.jsonl", temporal_aggregator="ema")
    write_rows(source, [{**row, "saliency_mean": None}])
    with pytest.raises(InputError, match="column 'saliency_aggregator' says 'ema' of numbers that stay"):
        enrich(source, tmp_path / "out.jsonl", mean_column="v1_mean")
    assert "has tags that are no settings" in stderr_of(
        "preview", write_rows(source, [row]), "-o", tmp_path / "a.png", code=2
    )


@pytest.mark.parametrize("table", FORMATS, indirect=True)
def test_tags_are_not_written_beside_numbers_that_stay(table: Path, other_model: Path) -> None:
    enrich(table, table)
    before, model = table.read_bytes(), str(other_model)
    numbers: list[dict[str, Any]] = [
        {"mean_column": "v1_mean", "var_column": "v1_var"},
        {"mean_column": "v1_mean"},
        {"var_column": ""},
        {"mean_column": "v1_mean", "var_column": "v1_var", "overwrite": True},
    ]
    for columns in numbers:
        with pytest.raises(InputError) as refusal:
            enrich(table, table, model_path=model, **columns)
        message = str(refusal.value)
        assert message.startswith(str(table))
        assert "column 'saliency_model_id' says 'frequency_tuned_v1' of numbers that stay in the row" in message
        assert "--prefix" in message
        assert table.read_bytes() == before
    old = read(table)
    enrich(table, table, model_path=model, prefix="v1_")
    for row, was in zip(read(table), old, strict=True):
        assert {name: row[name] for name in was} == was
        assert {row["v1_status"], row["v1_model_id"], row["v1_aggregator"]} == {"ok", "other_v1", "mean"}
        assert row["v1_mean"] != row["saliency_mean"]


def test_rows_without_tags_are_kept_and_counted(
    tmp_path: Path, clips: dict[str, Path], capfd: pytest.CaptureFixture[str]
) -> None:
    rows: list[dict[str, Any]] = [
        {"src": str(clips["bikes"]), "saliency_mean": 0.5, "saliency_var": 0.1},
        {"src": str(clips["bikes"])},
    ]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    enrich(tmp_path / "in.jsonl", tmp_path / "out.jsonl", str(tmp_path / "a.json"))
    assert "1 of which a tag is missing" in capfd.readouterr().err
    assert json.loads((tmp_path / "a.json").read_text())["kept"]["untagged"] == 1
    kept, new = read(tmp_path / "out.jsonl")
    assert kept == {**dict(rows[0]), "saliency_status": "skipped-existing"}
    assert new["saliency_status"] == "ok"


def test_the_python_api_refuses_mixtures_too(clips: dict[str, Path]) -> None:
    config = RunConfig(model="frequency_tuned_v1", memo="off", decode_workers=1)
    with Engine(config) as engine:
        ours = {"src": str(clips["bikes"]), "saliency_mean": None, "saliency_var": None, "saliency_model_id": None}
        others: dict[str, Any] = {**ours, "saliency_mean": 0.5, "saliency_var": 0.1, "saliency_model_id": "another"}
        schema = pa.schema([(name, "double" if name[-3:] in {"ean", "var"} else "string") for name in others])
        with pytest.raises(InputError, match=r"1 rows keep numbers .* model 'another' \(this run: 'frequency"):
            list(engine.process([pa.RecordBatch.from_pylist([ours, others], schema)]))
        (alone,) = engine.process([pa.RecordBatch.from_pylist([others], schema)])
        assert alone["saliency_model_id"].to_pylist() == ["another"]
