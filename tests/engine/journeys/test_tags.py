"""Tags that cannot lie: what stands beside a number is what made it, whatever runs went over the table."""

from __future__ import annotations

import itertools
import json
import random
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.json as pa_json
import pyarrow.parquet as pq
import pytest
from tests.in_process import run, stderr_of
from tests.rows import write_rows
from tests.small_models import miniature

from saliency_engine.config import RunConfig
from saliency_engine.errors import InputError
from saliency_engine.jobs.run import run_table
from saliency_engine.pipeline.engine import Engine
from saliency_engine.table_job import TableJob
from saliency_engine.tables.sampling_tag import parse_sampling
from saliency_engine.tags import TAG_ROLES, Tags

FORMATS = ["jsonl", "parquet", "csv"]


@pytest.fixture
def other_model(tmp_path: Path) -> Path:
    path = tmp_path / "other_v1.onnx"
    path.write_bytes(miniature().SerializeToString())
    return path


def read(path: Path) -> list[dict[str, Any]]:
    readers = {".jsonl": pa_json.read_json, ".csv": pa_csv.read_csv, ".parquet": pq.read_table}
    rows: list[dict[str, Any]] = readers[path.suffix](path).to_pylist()
    return [{name: value for name, value in row.items() if value not in (None, "")} for row in rows]


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


def enrich(source: Path, output: Path, audit: str = "", **options: Any) -> dict[str, Any]:
    """One run in this process; ``options`` are those of ``RunConfig``. Gives the audit."""
    model = {} if "model_path" in options else {"model": "frequency_tuned_v1"}
    options = {"root": str(source.parent), "decode_workers": 1, "threads": 1, **model, **options}
    return run_table(TableJob(input=str(source), output=str(output), audit_json=audit), RunConfig(**options))


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


SETTINGS: list[dict[str, Any]] = [
    {"temporal_aggregator": "ema", "ema_alpha": 0.3},
    {"temporal_aggregator": "ema"},
    {"temporal_aggregator": "max"},
    {"temporal_aggregator": "mean", "ema_alpha": 0.3},
    {"sampling": "uniform", "frame_samples": 3},
    {"max_frames": 4},
    {"temporal_aggregator": "ema", "max_frames": 4, "frame_samples": 2},
]


NUMBERS = [("saliency_mean", "saliency_var", "saliency_"), ("m", "v", "saliency_"), ("v_mean", "v_var", "v_")]


@pytest.fixture(scope="module")
def fresh() -> dict[tuple[str, Tags], tuple[float, float]]:
    """What fresh runs gave, by clip and tags."""
    return {}


@pytest.mark.parametrize("seed", range(3))
def test_after_any_runs_every_number_is_that_of_its_own_tags(
    seed: int,
    tmp_path: Path,
    clips: dict[str, Path],
    other_model: Path,
    fresh: dict[tuple[str, Tags], tuple[float, float]],
) -> None:
    generator = random.Random(seed)
    table, source = tmp_path / f"table.{FORMATS[seed % 3]}", tmp_path / "in.jsonl"
    originals = {"a.mp4": clips["bikes"], "b.mp4": clips["carphone_pristine"]}
    for name, original in originals.items():
        shutil.copyfile(original, tmp_path / name)
    names = [*originals, "never.mp4"] * 2
    source.write_text("".join(json.dumps({"src": name, "n": n}) + "\n" for n, name in enumerate(names)))
    models: list[dict[str, Any]] = [{"model": "frequency_tuned_v1"}, {"model_path": str(other_model)}]
    refused = 0
    for _ in range(8):
        path = tmp_path / generator.choice(list(originals))
        if generator.random() < 0.3:  # it goes, or comes back
            hidden = path.with_suffix(".gone")
            _ = hidden.rename(path) if hidden.exists() else path.rename(hidden)
        columns = generator.choice([{}, {}, {"prefix": "v_"}, {"mean_column": "m", "var_column": "v"}])
        extra = generator.choice([{}, {}, {"overwrite": True}, {"keep_others": True}])
        before = table.read_bytes() if table.exists() else b""
        options = {**generator.choice(models), **generator.choice(SETTINGS), **columns, **extra}
        try:
            enrich(table if before else source, table, memo=str(tmp_path / "memo.sqlite"), **options)
        except InputError:
            refused += 1
            assert (table.read_bytes() if table.exists() else b"") == before
    assert refused < 8
    seen = 0
    for row, (mean, var, prefix) in itertools.product(read(table), NUMBERS):
        if mean not in row:
            continue
        tags = Tags(*(row[prefix + role] for role in TAG_ROLES))
        if (key := (row["src"], tags)) not in fresh:
            model = models[tags.model_id == "other_v1"]
            options = {
                "temporal_aggregator": tags.aggregator,
                "ema_alpha": tags.ema_alpha,
                **parse_sampling(tags.sampling or ""),
            }
            with Engine(RunConfig(memo="off", decode_workers=1, **model, **options)) as engine:
                (batch,) = engine.process([pa.record_batch({"src": [str(originals[row["src"]])]})])
                assert engine.tags == tags
            fresh[key] = batch["saliency_mean"][0].as_py(), batch["saliency_var"][0].as_py()
        assert (row[mean], row[var]) == pytest.approx(fresh[key], abs=1e-9)
        seen += 1
    assert seen
