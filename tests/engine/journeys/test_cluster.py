"""``--on ray`` with all but Ray itself: actors that live in this process. ``test_ray.py`` has real ones."""

from __future__ import annotations

import json
import pickle
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar

import pytest
from tests.clips import Encode
from tests.in_process import saliency_batch, stderr_of
from tests.rows import read_rows, write_rows

from saliency_engine.config import RunConfig
from saliency_engine.jobs import cluster
from saliency_engine.models.load import Model
from saliency_engine.pipeline.far_engine import FarEngine
from saliency_engine.pipeline.far_work import ClipWork, WorkDone
from saliency_engine.pipeline.ray_cluster import Actors, Node

RUN = ("--model", "frequency_tuned_v1", "--decode-workers", "1")
ON = ("--on", "ray", "--ray-address", "head:6379")


class Nearby:
    """Stands in for ``ActorPool``: one actor, here; all that goes to it and comes from it is pickled."""

    actors = 1
    clips: ClassVar[list[str]] = []
    """The clips that were computed, by their names."""
    fault = False

    def __init__(self, _ray: None, _wanted: Actors, models: Sequence[Model], config: RunConfig, *_: object) -> None:
        models, config = pickle.loads(pickle.dumps((models, config)))
        self._engine = FarEngine(models, config, 1, "nearby")

    def compute(self, works: Iterator[ClipWork]) -> Iterator[WorkDone | None]:
        yield self._engine.start()
        while some := list(islice(works, 3)):
            Nearby.clips += [Path(work.request.path).name for work in some]
            if Nearby.fault:
                del self._engine._tasks
            yield pickle.loads(pickle.dumps(self._engine.compute(pickle.loads(pickle.dumps(some)))))
            yield None

    def close(self) -> None:
        self._engine._engine.close()


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encode: Encode) -> Path:
    """The current folder, with five clips and one that is none, and a table of them."""

    @contextmanager
    def connected(address: str) -> Iterator[None]:
        assert address == "head:6379"
        yield None

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cluster, "load_ray", lambda: None)
    monkeypatch.setattr(cluster, "connected", connected)
    monkeypatch.setattr(cluster, "list_nodes", lambda _: [Node("1", "nearby", 1, 0)])
    monkeypatch.setattr(cluster, "ActorPool", Nearby)
    monkeypatch.setattr(Nearby, "clips", [])
    for number in range(5):
        clip = encode(f"near{number}.mp4", size=(96 + 8 * number, 96), frames=9)
        Path(f"{number}.mp4").write_bytes(clip.read_bytes())
    Path("5.mp4").write_bytes(b"x" * 500)
    write_rows(tmp_path / "in.jsonl", [{"src": f"{number % 6}.mp4", "row": number} for number in range(9)])
    return tmp_path


def both(*options: str | Path) -> tuple[list[bytes], dict[str, Any]]:
    """The tables and series of a run here and of one on the cluster, which must be the same, and the latter's audit."""
    written = []
    for name, on in (("here", ()), ("there", ON)):
        Path(name).mkdir()
        outputs = [
            "-o",
            f"{name}/out.jsonl",
            "--series",
            f"{name}/series.parquet",
            "--audit-json",
            f"{name}/audit.json",
        ]
        saliency_batch("run", "in.jsonl", *RUN, *options, *outputs, *on, code=1)
        written.append([Path(name, file).read_bytes() for file in ("out.jsonl", "series.parquet")])
    assert written[0] == written[1]
    return written[1], json.loads(Path("there/audit.json").read_text())


@pytest.mark.usefixtures("here")
def test_extras_and_series_come_from_there() -> None:
    _, audit = both("--extra", "luma", "--extra", "spread", "--sampling", "uniform")
    assert sorted(Nearby.clips) == [f"{number}.mp4" for number in range(6)]
    assert "decode" not in audit["stages"]
    assert audit["clips"]["computed"] == 5
    assert [(node["node"], node["clips"], node["failed"]) for node in audit["cluster"]["nodes"]] == [("nearby", 6, 1)]
    Nearby.clips.clear()
    saliency_batch("run", "in.jsonl", *RUN, *ON, "-o", "there/out2.jsonl", "--sampling", "uniform", code=1)
    assert Nearby.clips == ["5.mp4"], "only what has failed is tried again"


@pytest.mark.usefixtures("here")
def test_all_models_and_aggregators_of_a_sweep_come_from_one_decoding() -> None:
    sweep = ("--model", "saliency_open_v1", "--temporal-aggregator", "mean", "max", "--frame-samples", "2")
    _, audit = both(*sweep)
    assert len(Nearby.clips) == 6, "a clip was decoded for each model"
    assert audit["cluster"]["nodes"][0]["clips"] == 6
    assert audit["clips"]["computed"] == 10


def test_tables_of_a_batch_share_what_was_computed_there(here: Path) -> None:
    write_rows(here / "b.jsonl", [{"src": f"{number}.mp4"} for number in (4, 1)])
    tables = [{"id": name, "input": f"{name}.jsonl", "output": f"out-{name}.jsonl"} for name in ("in", "b")]
    defaults = {"model": "frequency_tuned_v1", "decode_workers": 1, "on": "ray", "ray_address": "head:6379"}
    (here / "m.json").write_text(json.dumps({"defaults": defaults, "tables": tables}))
    saliency_batch("batch", "m.json", "--memo", "off", "--allow-row-failures")
    assert sorted(Nearby.clips) == [f"{number}.mp4" for number in range(6)]
    saliency_batch("run", "b.jsonl", *RUN, "--memo", "off", "-o", "alone.jsonl")
    assert read_rows(here / "out-b.jsonl") == read_rows(here / "alone.jsonl")


@pytest.mark.usefixtures("here")
def test_too_many_failures_stop_the_cluster() -> None:
    write_rows(Path("in.jsonl"), [{"src": f"{number}.mp4"} for number in (5, 0, 1, 2, 3, 4)])
    options = (*RUN, *ON, "-o", "out.jsonl", "--max-failures", "0")
    assert "1 rows failed, more than --max-failures 0 allows" in stderr_of("run", "in.jsonl", *options, code=2)
    assert len(Nearby.clips) == 3
    assert not Path("out.jsonl").exists()


@pytest.mark.usefixtures("here")
def test_a_bug_there_ends_the_run_with_the_node_and_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Nearby, "fault", True)
    done = saliency_batch("run", "in.jsonl", *RUN, *ON, "-o", "out.jsonl", code=70, text=True)
    assert "BugError: node nearby: AttributeError" in done.stderr
    assert "far_engine.py" in done.stderr


@pytest.mark.usefixtures("here")
def test_progress_counts_clips_and_says_how_busy_the_nodes_are(monkeypatch: pytest.MonkeyPatch) -> None:
    from saliency_engine.report import progress

    monkeypatch.setattr(progress, "_LINE_SECONDS", 0.0)
    lines = stderr_of("run", "in.jsonl", *RUN, *ON, "-o", "out.jsonl", "--progress", "json", code=1).splitlines()
    states = [json.loads(line) for line in lines if line.startswith("{")]
    last = [state for state in states if "clips" in state][-1]
    assert (last["clips"], last["clips_total"], last["failed"], last["actors"]) == (6, 6, 1, 1)
    assert last["nodes"][0]["node"] == "nearby"
    assert 0 < last["stages"]["decode"]["share"] <= 1
    words = progress.describe_state(last)
    assert words.startswith("6 of 6 clips, ")
    assert re.search("/s, 1 actors: decode [0-9]+%, infer [0-9]+%, 1 failed, 0:00:00 left", words)
    assert progress.describe_state(last, narrow=True) == "6/6 clips, 1 failed, 0:00:00 left"
