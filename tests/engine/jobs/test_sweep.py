"""``run`` with several models and aggregators: each clip is decoded once, and every table is what a run alone gives."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pyarrow.parquet as pq
import pytest
from tests.clips import Encode
from tests.engine.conftest import command
from tests.rows import read_rows, write_clips, write_rows
from tests.small_models import convolution, miniature, saliency_model

from saliency_engine.errors import ConfigError, InputError
from saliency_engine.jobs.points import expand
from saliency_engine.jobs.run import run_sweep
from saliency_engine.pipeline.pool import DecodePool
from saliency_engine.types import ClipRequest

AGGREGATORS = ("mean", "max", "ema:0.2", "ema:0.6", "motion-weighted", "motion-balanced")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encode: Encode) -> Path:
    """The current folder: two clips, one that is none, a table of them, and two models of one input size."""
    monkeypatch.chdir(tmp_path)
    for width in (96, 104):
        shutil.copy(encode(f"sweep-{width}.mp4", size=(width, 96), frames=9), f"{width}.mp4")
    (tmp_path / "broken.mp4").write_bytes(b"nothing")
    write_clips(tmp_path / "in.jsonl", ["96.mp4", "104.mp4", "broken.mp4", "96.mp4"])
    onnx.save(miniature(), "one.onnx")
    onnx.save(miniature(weights=np.full((1, 3, 3, 3), -0.2, np.float32)), "two.onnx")
    return tmp_path


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The clips that are decoded from now on, by name."""
    names: list[str] = []
    submit = DecodePool.submit

    def count(pool: DecodePool, request: ClipRequest) -> None:
        names.append(Path(request.path).name)
        submit(pool, request)

    monkeypatch.setattr(DecodePool, "submit", count)
    return names


def sweep(output: str, **options: Any) -> list[dict[str, Any]]:
    job, points = expand({"input": "in.jsonl", "output": output, "quiet": True, "decode_workers": 2, **options})
    return run_sweep(job, points)


BOTH = ("one.onnx", "two.onnx")


def test_a_table_for_each_point_after_one_decode(here: Path, decoded: list[str]) -> None:
    audits = sweep("out/{model_id}.{aggregator}.jsonl", model=BOTH, temporal_aggregator=AGGREGATORS)
    assert sorted(decoded) == ["104.mp4", "96.mp4", "broken.mp4"]
    assert len(audits) == 12
    assert {tuple(audit["summary"].values()) for audit in audits} == {(4, 3, 0, 1, 0)}
    # The first point of each model has it computed; the others take it from the memo.
    assert [(audit["clips"]["computed"], audit["clips"]["reused"]) for audit in audits] == ([(2, 0)] + [(0, 2)] * 5) * 2
    assert {path.name for path in (here / "out").glob("*.jsonl")} == {
        f"{model}.{name.replace(':', '')}.jsonl" for model in ("one", "two") for name in AGGREGATORS
    }
    for model, name in (("one", "max"), ("two", "ema:0.2"), ("two", "motion-balanced")):
        sweep("alone.jsonl", model=f"{model}.onnx", temporal_aggregator=name, memo="off")
        swept = here / "out" / f"{model}.{name.replace(':', '')}.jsonl"
        assert Path("alone.jsonl").read_bytes() == swept.read_bytes()

    decoded.clear()
    sweep("out/{model_id}.{aggregator}.jsonl", model=BOTH, temporal_aggregator=("ema:0.9", "ema:0.35"))
    assert decoded == ["broken.mp4"]  # a clip that failed may be whole by now
    Path("in.jsonl").write_text('{"src": "96.mp4"}\n{"src": "104.mp4"}\n')
    decoded.clear()
    sweep("out/{model_id}.{aggregator}.jsonl", model=BOTH, temporal_aggregator=("ema:0.45", "mean"))
    assert decoded == []


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet"])
def test_one_table_with_columns_for_each_point(suffix: str) -> None:
    if suffix == "csv":
        Path("in.csv").write_text("src,n\n96.mp4,1\n104.mp4,2\nbroken.mp4,3\n96.mp4,4\n")
    source = "in.csv" if suffix == "csv" else "in.jsonl"
    options = {"model": BOTH, "temporal_aggregator": ("mean", "ema:0.2"), "audit_json": "audit.json"}
    (audit,) = sweep(f"wide.{suffix}", input=source, **options)
    sweep("{model_id}.{aggregator}.parquet", **{**options, "audit_json": ""})
    wide = read(Path(f"wide.{suffix}"))
    for model in ("one", "two"):
        for name in ("mean", "ema0.2"):
            prefix = f"saliency_{model}_{name}_"
            for row, alone in zip(wide, pq.read_table(f"{model}.{name}.parquet").to_pylist(), strict=True):
                assert row["src"] == alone["src"]
                for role in ("mean", "var", "status", "model_id", "aggregator", "ema_alpha", "sampling", "error"):
                    assert row.get(prefix + role) == alone[f"saliency_{role}"], prefix + role
    assert audit["summary"] == {"total": 4, "ok": 3, "skipped_existing": 0, "failed": 1, "rejected": 0}
    assert [point["prefix"] for point in audit["points"]] == [
        f"saliency_{model}_{name}_" for model in ("one", "two") for name in ("mean", "ema0.2")
    ]
    models = json.loads(Path("audit.json").read_text())["run_provenance"]["inputs"]
    assert [models[name]["path"] for name in ("model", "model_1")] == ["one.onnx", "two.onnx"]


def read(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".jsonl":
        return read_rows(path)
    if path.suffix == ".parquet":
        return list(pq.read_table(path).to_pylist())
    head, *lines = (line.split(",") for line in path.read_text().splitlines())
    rows = [dict(zip(head, line, strict=True)) for line in lines]
    numbers = ("_mean", "_var", "_ema_alpha")
    return [
        {name: (float(text) if name.endswith(numbers) else text) if text else None for name, text in row.items()}
        for row in rows
    ]


def test_a_point_that_is_added_leaves_the_others_alone(here: Path) -> None:
    """Their numbers stay where they are, also when the clip is gone; only the new point computes."""
    sweep("wide.jsonl", model="one.onnx", temporal_aggregator=("mean", "max"))
    before = read_rows(here / "wide.jsonl")
    (here / "104.mp4").unlink()
    (audit,) = sweep("wide.jsonl", input="wide.jsonl", model="one.onnx", temporal_aggregator=("mean", "max", "ema"))
    after = read_rows(here / "wide.jsonl")
    for old, new in zip(before, after, strict=True):
        for name in ("saliency_mean_mean", "saliency_max_var", "saliency_mean_model_id", "saliency_max_aggregator"):
            assert new.get(name) == old.get(name)
    assert [row["saliency_ema0.6_status"] for row in after] == ["ok", "missing-source", "decode-failed", "ok"]
    assert [row["saliency_max_status"] for row in after] == [
        *["skipped-existing"] * 2,
        "decode-failed",
        "skipped-existing",
    ]
    assert audit["summary"] | {"ok": 2, "failed": 2, "skipped_existing": 0} == audit["summary"]
    assert audit["points"][0]["summary"] == {"ok": 0, "skipped_existing": 3, "failed": 1}


def test_kept_rows_of_another_model_are_refused_for_their_point(here: Path) -> None:
    sweep("wide.jsonl", model="one.onnx", temporal_aggregator=("mean", "max"))
    rows = read_rows(here / "wide.jsonl")
    write_rows(here / "in.jsonl", [*rows, {"src": "96.mp4"}])
    with pytest.raises(InputError, match=r"3 rows keep numbers that other settings made .*'one' \(this run: 'two'\)"):
        sweep("wide.jsonl", model="two.onnx", temporal_aggregator=("mean", "max"))


def test_models_of_two_sizes_and_one_that_fails(here: Path, decoded: list[str]) -> None:
    """Each size has decoded frames of its own, and a model's failure is that of its own rows."""
    large = convolution("input", "saliency_map")  # without a sigmoid: it leaves [0, 1]
    weights = np.full((1, 3, 3, 3), 9.0, np.float32)
    bad = saliency_model(large, frames=("N", 3, 64, 64), maps=("N", 1, 64, 64), w=weights)
    onnx.save(bad, "bad.onnx")
    good, poor = sweep("{model_id}.jsonl", model=("one.onnx", "bad.onnx"))
    assert sorted(decoded) == ["104.mp4"] * 2 + ["96.mp4"] * 2 + ["broken.mp4"] * 2
    assert [row["saliency_status"] for row in read_rows(here / "one.jsonl")] == ["ok", "ok", "decode-failed", "ok"]
    states = [row["saliency_status"] for row in read_rows(here / "bad.jsonl")]
    assert states == ["model-failed", "model-failed", "decode-failed", "model-failed"]
    assert (good["summary"]["failed"], poor["summary"]["failed"]) == (1, 4)
    (wide,) = sweep("wide.jsonl", model=("bad.onnx", "one.onnx"))
    assert wide["summary"] == {"total": 4, "ok": 0, "skipped_existing": 0, "failed": 4, "rejected": 0}


def test_lines_that_are_no_rows_are_kept_once(here: Path) -> None:
    with Path("in.jsonl").open("a") as file:
        file.write("no row\n")
    options = {"model": "one.onnx", "audit_json": "{aggregator}.json", "temporal_aggregator": ("mean", "max")}
    audits = sweep("{aggregator}.jsonl", **options)
    assert [audit["summary"]["rejected"] for audit in audits] == [1, 1]
    assert {audit["rejects"] for audit in audits} == {"mean.jsonl.rejects.jsonl"}
    assert all(audit["run_provenance"]["outputs"]["rejects"]["exists"] for audit in audits)
    assert [path.name for path in here.glob("*.rejects.jsonl")] == ["mean.jsonl.rejects.jsonl"]
    assert len(read_rows(here / "max.jsonl")) == 4


def test_the_command(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [*("--model", "one.onnx", "--model", "two.onnx"), *("--temporal-aggregator", "ema:0.3")]
    with pytest.raises(SystemExit) as end:
        command("run", "in.jsonl", "-o", "{model_id}.csv", *words)
    assert end.value.code == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1] == "saliency-batch: outputs=2 total=8 ok=6 skipped=0 failed=2"
    assert any(re.match("model +one, two on ", line) for line in lines)
    (here / "o.toml").write_text('model = "one.onnx"\ntemporal-aggregator = ["mean", "ema:0.3"]\n')
    with pytest.raises(SystemExit):
        command("run", "in.jsonl", "-o", "wide.jsonl", "--config", "o.toml")
    assert read_rows(here / "wide.jsonl")[0]["saliency_ema0.3_ema_alpha"] == 0.3
    aggregators = ("--temporal-aggregator", "mean", "ema:0.3", "--temporal-aggregator", "max")
    with pytest.raises(SystemExit):
        command("run", "--model", "one.onnx", *aggregators, "in.jsonl", "-o", "{aggregator}.csv")
    assert sorted(path.stem for path in here.glob("*.csv")) == ["ema0.3", "max", "mean", "one", "two"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"temporal_aggregator": ("mean", "mean")}, "mean is given twice"),
        ({"temporal_aggregator": ("ema", "ema:0.6")}, "ema0.6 is given twice"),
        ({"temporal_aggregator": "ema:x"}, "--temporal-aggregator is 'ema:x': give one of mean, ema"),
        ({"temporal_aggregator": "max:0.3"}, "--temporal-aggregator is 'max:0.3': give one of mean, ema"),
        ({"temporal_aggregator": "ema:7"}, "--ema-alpha is 7.0"),
        ({"model": ("one.onnx", "one.onnx")}, "--model one.onnx is given twice"),
        ({"output": "{model}.csv"}, "{model} stands for nothing; what is filled in are {model_id} and {aggregator}"),
        ({"map_grid": "4x4"}, "--map-grid 4x4 is for maps, and none are written"),
        ({"model": BOTH, "model_id": "x"}, "--model-id speaks of one model, but --model is given 2 times"),
        ({"model": ("one.onnx", "copy.onnx")}, "--model one.onnx and copy.onnx are the same model"),
        (
            {"temporal_aggregator": ("mean", "max"), "output": "{model_id}.jsonl"},
            "is one file for one mean and one max",
        ),
        (
            {"temporal_aggregator": ("mean", "max"), "output": "{aggregator}.jsonl", "audit_json": "a.json"},
            "--audit-json a.json is one file for one mean and one max",
        ),
        (
            {"temporal_aggregator": ("mean", "max"), "mean_column": "m"},
            "--mean-column m gives one column, m, to one mean and one max",
        ),
        (
            {"model": BOTH, "prefix": "{aggregator}_", "output": "out.jsonl"},
            "--prefix {aggregator}_ gives one column, mean_mean, to one mean and two mean",
        ),
        ({"temporal_aggregator": ("ema:0.3", "ema:0.30000001")}, "ema0.3 is given twice"),
    ],
)
def test_what_is_refused(here: Path, options: dict[str, Any], words: str) -> None:
    shutil.copy("one.onnx", "copy.onnx")
    with pytest.raises(ConfigError) as error:
        sweep(
            **{
                "output": "{model_id}.{aggregator}.jsonl" if "model" in options else "out.jsonl",
                "model": "one.onnx",
                **options,
            }
        )
    assert words in str(error.value)
    assert not list(here.glob("out*"))


@pytest.mark.parametrize("output", ["out.parquet", "out.jsonl", "out.{model_id}.jsonl"])
def test_two_models_of_one_id_are_refused(here: Path, output: str) -> None:
    """Both would have the same columns: the second's numbers were in the place of the first's, without a word."""
    for folder, model, model_id in (("e1", "one.onnx", "x/y"), ("e2", "two.onnx", "x_y")):
        Path(folder).mkdir()
        shutil.copy(model, Path(folder, "m.onnx"))
        named = onnx.load(model)
        onnx.helper.set_model_props(named, {"lusoris.model_id": model_id})
        onnx.save(named, Path(folder, "named.onnx"))
    for file, ids in (("m.onnx", ("m", "m")), ("named.onnx", ("x/y", "x_y"))):
        with pytest.raises(ConfigError) as error:
            sweep(output, model=(f"e1/{file}", f"e2/{file}"), series="series.parquet")
        assert f"--model e1/{file} has the id {ids[0]} and e2/{file} the id {ids[1]}" in str(error.value)
    assert not [*here.glob("out*"), *here.glob("series*")]
