"""The Python API, by its documentation."""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

import saliency_engine
from saliency_engine import Engine, RunConfig
from saliency_engine.errors import InputError

DOCS = Path(__file__).parents[3] / "docs"


def test_the_documented_example_runs(tmp_path: Path, clips: dict[str, Path]) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", (DOCS / "api.md").read_text(), re.DOTALL)
    (tmp_path / "example.py").write_text(example)
    for name, clip in (("clip1.mp4", clips["bikes"]), ("clip2.mp4", clips["carphone_pristine"])):
        (tmp_path / name).symlink_to(clip)
    for _ in range(2):  # the second time from the memo
        done = subprocess.run(
            [sys.executable, "example.py"], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=120
        )
        lines = [line.split() for line in done.stdout.splitlines()]
        assert [line[:2] for line in lines] == [
            ["clip1.mp4", "ok"],
            ["clip2.mp4", "ok"],
            ["gone.mp4", "missing-source"],
        ]
        assert 0.0 < float(lines[0][2]) < 1.0


def test_what_is_exported() -> None:
    assert saliency_engine.__all__ == ["Engine", "RunConfig", "__version__"]
    assert saliency_engine.Engine.__name__ == "Engine"
    assert saliency_engine.RunConfig.__name__ == "RunConfig"
    with pytest.raises(AttributeError, match="no attribute 'Engin'"):
        _ = saliency_engine.Engin


def test_the_version_is_the_distributions_and_costs_nothing_until_it_is_asked_for() -> None:
    script = "import sys, saliency_engine\nassert not {'importlib.metadata', 'numpy'} & set(sys.modules)\n"
    done = subprocess.run(
        [sys.executable, "-c", script + "print(saliency_engine.__version__)"],
        capture_output=True,
        check=True,
        text=True,
    )
    assert done.stdout.strip() == importlib.metadata.version("saliency-batch")


def test_batches_stream_in_order_through_one_engine(clips: dict[str, Path]) -> None:
    schema = pa.schema([("n", pa.int64()), ("src", pa.string())])
    names = list(clips.values())
    batches = [pa.record_batch([[n], [str(names[n % 4]) if n % 5 else None]], schema=schema) for n in range(20)]
    with Engine(RunConfig(model="frequency_tuned_v1", batch_size=3)) as engine:
        first = list(engine.process(batches))
        again = list(engine.process(iter(batches)))
        assert engine.counts.clips_computed == 4
    assert first == again
    assert [batch.column("n")[0].as_py() for batch in first] == list(range(20))
    for batch in first:
        (row,) = batch.to_pylist()
        assert row["saliency_status"] == ("ok" if row["n"] % 5 else "missing-source")


def test_a_caller_may_stop_early_and_go_on(clips: dict[str, Path]) -> None:
    batches = [pa.record_batch({"src": [str(clip)]}) for clip in clips.values()]
    with Engine(RunConfig(model="frequency_tuned_v1")) as engine:
        stopped = engine.process(batches)
        next(stopped)
        del stopped
        assert [batch.column("saliency_status")[0].as_py() for batch in engine.process(batches)] == ["ok"] * 4


def test_a_missing_path_column_is_named() -> None:
    with Engine(RunConfig(model="frequency_tuned_v1")) as engine, pytest.raises(InputError, match=r"'src'.*'source'"):
        list(engine.process([pa.record_batch({"source": ["a.mp4"]})]))
