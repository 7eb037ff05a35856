"""The code and commands of docs/recipes.md, run one after the other as a reader would."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from tests.conftest import PROJECT
from tests.in_process import pasted, script
from tests.processes import HANG
from tests.rows import read_rows, write_rows
from tests.small_models import miniature

from saliency_engine import enrich

_BLOCK = re.compile(r"^```(python|sh)\n(.*?)^```", re.DOTALL | re.MULTILINE)
_FRAMEWORKS = {"pyspark": "pyspark", "dask": "dask[dataframe,distributed]", "daft": "daft"}
"""What blocks import that have workers of their own, and how it is installed."""


@pytest.fixture
def folder(tmp_path: Path, clips: dict[str, Path]) -> Path:
    """What the page says that its recipes run in."""
    (tmp_path / "clips").mkdir()
    for clip in clips.values():
        (tmp_path / "clips" / clip.name).symlink_to(clip)
    scores = {name: 2.0 + n for n, name in enumerate(sorted(clips))}
    (tmp_path / "clips.csv").write_text("name,mos\n" + "".join(f"{name},{mos}\n" for name, mos in scores.items()))
    rows = ({"name": name, "mos": mos, "src": f"clips/{name}.mp4"} for name, mos in scores.items())
    write_rows(tmp_path / "clips.jsonl", rows)
    (tmp_path / "my_model.onnx").write_bytes(miniature().SerializeToString())
    return tmp_path


def test_the_recipes_work(folder: Path, clips: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    blocks = [block for block in _blocks() if not any(_imports(block[1], name) for name in _FRAMEWORKS)]
    assert len(blocks) >= 9
    printed = [_run(language, text, folder) for language, text in blocks]
    assert all(name in printed[0] and name in printed[3] for name in clips), "pandas, a folder"
    assert "shape: (4, 3)" in printed[1], "polars"
    good = pq.read_table(folder / "duckdb.parquet").to_pydict()
    assert good["mos"] == [3.0, 4.0, 5.0]
    assert all(0 < mean < 1 for mean in good["saliency_mean"])
    two = read_rows(folder / "two.jsonl")
    assert {(row["open_model_id"], row["mine_model_id"]) for row in two} == {("saliency_open_v1", "my_model")}
    assert all(row["open_mean"] != row["mine_mean"] for row in two)
    sweep = {path.stem: read_rows(path)[0] for path in folder.glob("sweep-*.jsonl")}
    clips_of = [json.loads(path.read_text())["clips"] for path in folder.glob("sweep-*.audit")]
    assert [(clip["computed"], clip["reused"]) for clip in clips_of] == 7 * [(0, 4)], "two.jsonl's memo has them"
    assert len({row["saliency_mean"] for row in sweep.values()}) == len(sweep) == 7
    assert f"'ema2_mean': {sweep['sweep-ema0.2']['saliency_mean']}" in printed[6]
    frames = pq.read_table(folder / "frames.parquet").to_pylist()
    assert [row["frame"] for row in frames] == 4 * list(range(8))
    assert np.load(folder / "maps.npy").shape == (8, 320, 320)


@pytest.mark.parametrize("name", _FRAMEWORKS)
def test_workers_of_a_framework_compute_what_one_engine_does(name: str, folder: Path) -> None:
    pytest.importorskip(name, reason=f"{name} is not installed: pip install '{_FRAMEWORKS[name]}'")
    if name == "pyspark" and not shutil.which("java"):
        pytest.skip("Spark needs Java 17 or later")
    ((_, text),) = [block for block in _blocks() if _imports(block[1], name)]
    (folder / "recipe.py").write_text(text)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    # Dask writes its settings into the home; Daft would count its users; Spark would listen to the network.
    strangers = {"DASK_CONFIG": str(folder), "DO_NOT_TRACK": "1", "SPARK_LOCAL_IP": "127.0.0.1"}
    environment = {**os.environ, **strangers, "PATH": path}
    words = [sys.executable, "recipe.py"]
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=HANG)
    assert done.returncode == 0, done.stderr
    rows = pq.read_table(folder / f"{name.removeprefix('py')}.parquet").to_pylist()
    here = enrich(folder / "clips.jsonl", root=folder, model="saliency_open_v1").to_pylist()
    columns = ("name", "mos", "saliency_mean", "saliency_status")
    assert sorted([row[column] for column in columns] for row in rows) == [
        [row[column] for column in columns] for row in here
    ]


def _blocks() -> list[tuple[str, str]]:
    return _BLOCK.findall((PROJECT / "docs" / "recipes.md").read_text(encoding="utf-8"))


def _imports(text: str, name: str) -> bool:
    return bool(re.search(rf"^(?:import|from) {name}\b", text, re.MULTILINE))


def _run(language: str, text: str, folder: Path) -> str:
    """What a block prints on stdout. Commands of a sweep write their audits, too."""
    if language == "sh":
        name = '-o "sweep-{aggregator}.jsonl"'
        return pasted(text.replace(name, f'{name} --audit-json "sweep-{{aggregator}}.audit"'), folder)
    done = script(text, folder)
    assert not done.stderr, done.stderr
    return done.stdout
