"""``--extra``: columns beside the saliency, in every format and every command, and what cannot be asked for."""

from __future__ import annotations

import itertools
import json
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.clips import Encode
from tests.engine.journeys.extras.runs import ALL, COLUMNS, FORMATS, SALIENCY, enrich, read
from tests.in_process import saliency_batch
from tests.rows import read_rows, write_rows

import saliency_engine
from saliency_engine.config import RunConfig, load_options
from saliency_engine.errors import ConfigError, InputError
from saliency_engine.extras import EXTRAS
from saliency_engine.jobs.points import expand
from saliency_engine.jobs.run import run_sweep
from saliency_engine.pipeline.engine import Engine
from saliency_engine.storage.locate import Locator
from saliency_engine.types import ClipReference, row_batch_of


@pytest.mark.parametrize("kind", FORMATS)
def test_rows_gain_the_columns_in_every_format(table: Path, tmp_path: Path, kind: str) -> None:
    output = tmp_path / f"out.{kind}"
    enrich(table, output, *ALL)
    rows = read(output)
    assert [name for name in rows.column_names if name in COLUMNS] == COLUMNS
    by_row = rows.select(COLUMNS).to_pylist()
    assert by_row[0] == by_row[3]
    assert all(isinstance(value, float) for row in (by_row[0], by_row[1]) for value in row.values())
    assert by_row[2] == dict.fromkeys(COLUMNS)
    assert by_row[0]["shot_cut_density"] == 2 / 80
    assert by_row[1]["shot_cut_density"] == 0.0
    assert by_row[0]["saliency_p10"] <= by_row[0]["saliency_p90"]


def test_no_row_gains_what_nobody_asked_for(table: Path, tmp_path: Path) -> None:
    enrich(table, tmp_path / "out.parquet", "texture", memo="off")
    names = pq.read_schema(tmp_path / "out.parquet").names
    assert names == ["src", *(f"saliency_{role}" for role in SALIENCY), *EXTRAS["texture"]]


def test_a_row_gets_its_number_in_place_and_loses_it_where_its_clip_fails(table: Path, tmp_path: Path) -> None:
    rows = [{**row, "y_avg": 1, "note": "é"} for row in read_rows(table)]
    enrich(write_rows(tmp_path / "had.jsonl", rows), tmp_path / "out.jsonl", "luma")
    first, _, missing, _ = read_rows(tmp_path / "out.jsonl")
    assert list(first)[:3] == ["src", "y_avg", "note"]
    assert first["y_avg"] > 1
    assert (missing["y_avg"], "y_var" in missing) == (None, False)


@pytest.mark.parametrize("kind", ["parquet", "arrow"])
def test_text_where_a_number_goes(table: Path, tmp_path: Path, kind: str) -> None:
    rows = pa.Table.from_pylist([{**row, "y_avg": "bright"} for row in read_rows(table)])
    if kind == "parquet":
        pq.write_table(rows, tmp_path / "in.parquet")
    else:
        with pa.ipc.new_file(tmp_path / "in.arrow", rows.schema) as file:
            file.write_table(rows)
    with pytest.raises(InputError, match=r"column 'y_avg' is string, but this run writes a number .* --prefix"):
        enrich(tmp_path / f"in.{kind}", tmp_path / f"out.{kind}", "luma")


def test_a_clip_without_an_end_has_all_but_its_shots(encode: Encode, tmp_path: Path) -> None:
    """The row is ok and says why; it is decoded once a run, and tried again by the next."""
    cut = tmp_path / "cut.mkv"
    content = encode("whole.mkv", source="bikes", frames=80, size=(160, 96)).read_bytes()
    cut.write_bytes(content[: len(content) * 3 // 4])
    rows = write_rows(tmp_path / "in.jsonl", itertools.repeat({"src": str(cut)}, 6_000))
    audit = enrich(rows, tmp_path / "out.jsonl", "shots", "luma")
    assert (audit["summary"]["ok"], audit["clips"]["computed"]) == (6_000, 1)
    row = read_rows(tmp_path / "out.jsonl")[-1]
    assert row["saliency_status"] == "ok"
    assert row["y_avg"] > 0
    assert "shot_count_norm" not in row
    assert row["saliency_error"].startswith("--extra shots could not be measured: the file is cut off")
    audit = enrich(tmp_path / "out.jsonl", tmp_path / "out.jsonl", "shots", "luma", accept_short=True)
    assert audit["summary"]["ok"] == 6_000
    assert read_rows(tmp_path / "out.jsonl")[-1]["shot_cut_density"] > 0


def test_a_sweep_has_them_in_the_columns_of_each_point(table: Path, tmp_path: Path) -> None:
    options: dict[str, Any] = {"model": "frequency_tuned_v1", "temporal_aggregator": ("mean", "ema:0.3")}
    job, points = expand(
        {**options, "input": str(table), "output": str(tmp_path / "wide.jsonl"), "extra": ("luma", "spread")}
    )
    run_sweep(job, points)
    row = read_rows(tmp_path / "wide.jsonl")[0]
    enrich(table, tmp_path / "one.jsonl", "luma", "spread")
    one = read_rows(tmp_path / "one.jsonl")[0]
    assert row["saliency_mean_y_avg"] == row["saliency_ema0.3_y_avg"] == one["y_avg"]
    assert row["saliency_mean_p10"] == one["saliency_p10"]
    assert "y_avg" not in row


def test_tables_of_one_engine_that_want_different_ones(table: Path, tmp_path: Path) -> None:
    """Three tables ask for the same clips in turns, before the first of them is through decoder and model."""
    clips = row_batch_of([ClipReference(row["src"]) for row in read_rows(table)[:2]])
    wanted = [(), ("luma",), ("luma", "shots"), ("spread",)]
    configs = [RunConfig(model="frequency_tuned_v1", decode_workers=2, extra=extra) for extra in wanted]
    with Engine(configs[0]) as engine:
        tasks = [engine.new_task(config, Locator(config)) for config in configs]
        work = [(task, clips) for task in tasks]
        gained = [(task.extra, results) for task, _, results in engine.run_tasks(work, tasks=len(tasks))]
        computed = sum(task.counts.clips_computed for task in tasks)
    assert [extra for extra, _ in gained] == wanted
    for extra, results in gained:
        roles = [role for group, roles in EXTRAS.items() if group in extra for role in roles]
        assert [[role for role, _ in result.extras] for result in results] == 2 * [roles]
    assert gained[1][1][0].extras == gained[2][1][0].extras[:3]
    assert computed >= 2
    manifest = {
        "defaults": {"model": "frequency_tuned_v1"},
        "tables": [
            {"id": name, "input": str(table), "output": f"{name}.jsonl", "extra": extra}
            for name, extra in (("a", []), ("b", ["luma", "shots"]))
        ],
    }
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    saliency_batch("batch", tmp_path / "manifest.json", code=1)
    assert "y_avg" not in read_rows(tmp_path / "a.jsonl")[0]
    assert read_rows(tmp_path / "b.jsonl")[0]["shot_cut_density"] == 2 / 80


def test_python(table: Path) -> None:
    rows = saliency_engine.enrich(table, model="frequency_tuned_v1", extra=["luma", "spread"])
    assert rows.column_names[-6:] == [*EXTRAS["luma"], "saliency_p10", "saliency_p90", "saliency_std"]
    clip = saliency_engine.compute_clip(read_rows(table)[0]["src"], model="frequency_tuned_v1", extra=["luma"])
    assert clip.statistics.extras.values["y_avg"] == rows["y_avg"][0].as_py()


def test_an_options_file_and_the_command_line(table: Path, tmp_path: Path) -> None:
    (tmp_path / "options.toml").write_text('model = "frequency_tuned_v1"\nextra = ["luma", "shots"]\n')
    assert load_options(tmp_path / "options.toml")["extra"] == ("luma", "shots")
    given = ("--config", tmp_path / "options.toml", "--extra", "spread", "--extra", "texture")
    saliency_batch("run", table, "-o", tmp_path / "out.jsonl", *given, code=1)
    gained = [name for name in read_rows(tmp_path / "out.jsonl")[0] if name in COLUMNS]
    assert gained == [*EXTRAS["texture"], "saliency_p10", "saliency_p90", "saliency_std"]


@pytest.mark.parametrize("value", [["colour"], "luma", ("luma", 1)])
def test_groups_that_do_not_exist(value: Any) -> None:
    with pytest.raises(ConfigError, match=r"--extra is .*: give a list of luma, texture, spread, shots"):
        RunConfig(extra=value)


def test_two_columns_of_one_name() -> None:
    with pytest.raises(ConfigError, match="two output columns are named 'y_avg'"):
        RunConfig(extra=("luma",), mean_column="y_avg")
    with pytest.raises(ConfigError, match="would overwrite the input column 'luma_std'"):
        RunConfig(extra=("texture",), path_column="luma_std")


def test_shots_without_the_detector(table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scenedetect", None)
    monkeypatch.setattr("saliency_engine.pipeline.detector.find_spec", lambda name: None if name == "cv2" else name)
    with pytest.raises(ConfigError, match=r"--extra shots needs PySceneDetect: pip install 'saliency-batch\[shots\]'"):
        enrich(table, tmp_path / "out.jsonl", "shots")
    assert not (tmp_path / "out.jsonl").exists()
    enrich(table, tmp_path / "out.jsonl", "luma")


def test_the_memo_tells(table: Path, tmp_path: Path) -> None:
    enrich(table, tmp_path / "out.jsonl", "luma", "shots")
    saliency_batch("memo", "export", tmp_path, "-o", tmp_path / "memo.jsonl")
    exported = {row["src"]: row for row in read_rows(tmp_path / "memo.jsonl")}
    row = read_rows(tmp_path / "out.jsonl")[0]
    assert {name: exported[row["src"]][name] for name in ("y_avg", "shot_count_norm")} == {
        "y_avg": row["y_avg"],
        "shot_count_norm": row["shot_count_norm"],
    }
    assert exported[row["src"]]["luma_std"] is None
