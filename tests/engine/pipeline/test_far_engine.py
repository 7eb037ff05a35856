"""An engine for another machine, asked here: what it sends, and what a run makes of that."""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.clips import Encode

from saliency_engine.config import RunConfig
from saliency_engine.errors import BugError, ConfigError, ModelError, WorkerError
from saliency_engine.models.load import load_model
from saliency_engine.pipeline.engine import Engine
from saliency_engine.pipeline.far_engine import FarEngine
from saliency_engine.pipeline.far_fill import FarFill
from saliency_engine.pipeline.far_work import ClipWork, Fault, WorkDone
from saliency_engine.storage.locate import Locator
from saliency_engine.types import ClipReference, Status, row_batch_of

CONFIG = RunConfig(model="frequency_tuned_v1", decode_workers=1, threads=1, memo="off")


class Run:
    """A run here, and an engine elsewhere; ``send`` is the wire between them."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.task = engine.new_task(engine.config, Locator(engine.config))
        self.fill = FarFill([self.task])

    def plan(self, *paths: Path) -> list[ClipWork]:
        batch = row_batch_of([ClipReference(str(path)) for path in paths])
        return list(self.fill.plan([(self.task, batch)]))

    def results(self, *paths: Path) -> list[Any]:
        batch = row_batch_of([ClipReference(str(path)) for path in paths])
        ((_, _, results),) = self.engine.run_tasks([(self.task, batch)])
        return results


@pytest.fixture
def run() -> Iterator[Run]:
    with Engine(CONFIG) as engine:
        yield Run(engine)


@pytest.fixture(scope="module")
def far() -> FarEngine:
    engine = FarEngine([load_model(CONFIG)], CONFIG, 1, "node-7")
    started = engine.start()
    assert started.fault is None
    assert started.state
    assert (started.state.node, started.state.decode_workers) == ("node-7", 1)
    return engine


def send(value: Any) -> Any:
    return pickle.loads(pickle.dumps(value))


def test_numbers_and_failures_are_those_of_a_run_here(run: Run, far: FarEngine, encode: Encode, tmp_path: Path) -> None:
    good = [encode(f"far{size}.mp4", size=(size, 96), frames=9) for size in (96, 112)]
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"x" * 500)
    with Engine(CONFIG) as other:
        expected = Run(other).results(*good, bad)
    works = run.plan(*good, bad, tmp_path / "missing.mp4", good[0])
    assert len(works) == run.fill.planned == 3
    run.fill.take(send(far.compute(send(works))))
    assert (run.fill.done, run.fill.failed) == (3, 1)
    assert run.plan(*good, bad) == []
    assert run.results(*good, bad) == expected
    assert [result.status for result in expected] == [Status.OK, Status.OK, Status.DECODE_FAILED]
    counts = run.task.counts
    assert (counts.clips_computed, counts.clips_reused, counts.clips_failed, counts.frames) == (2, 0, 1, 16)
    (state,) = run.fill.states.values()
    assert (state.failed, state.clips > 2, state.seconds["decode"] > 0) == (1, True, True)
    assert run.engine.clock.seconds.get("decode", 0.0) == 0.0, "it was decoded here"


def test_maps_are_reused_there_as_here(encode: Encode, source_frames: Any) -> None:
    clip = encode("far-still.y4m", source=source_frames("bikes", 1) * 8, size=(96, 64))
    config = replace(CONFIG, reuse=0.004)
    engine = FarEngine([load_model(config)], config, 1, "node-9")
    engine.start()
    with Engine(config) as here:
        run = Run(here)
        run.fill.take(send(engine.compute(send(run.plan(clip)))))
        (result,) = run.results(clip)
        assert (run.task.counts.frames, run.task.counts.model_runs) == (8, 1)
        assert here.clock.seconds.get("decode", 0.0) == 0.0, "it was decoded here"
    assert result.mean == pytest.approx(result.statistics.means[0], abs=1e-12)


def test_what_only_extra_lacks_is_decoded_there_without_the_model(encode: Encode) -> None:
    clip = encode("far-extra.mp4", size=(96, 96), frames=9)
    wanted = replace(CONFIG, extra=("luma",))
    engine = FarEngine([load_model(CONFIG)], wanted, 1, "node-8")
    engine.start()
    with Engine(wanted) as here:
        plain = here.new_task(CONFIG, Locator(CONFIG))
        batch = row_batch_of([ClipReference(str(clip))])
        list(here.run_tasks([(plain, batch)]))
        run = Run(here)
        (work,) = run.plan(clip)
        assert work.models[0].statistics is not None
        done = engine.compute([work])
        assert done.state
        assert "infer" not in done.state.seconds
        run.fill.take(done)
        (result,) = run.results(clip)
        assert {name for name, _ in result.extras} == {"y_avg", "y_var", "frame_diff_mean"}


def test_a_node_that_lacks_a_clip_or_has_another_stops_the_run(
    run: Run, far: FarEngine, encode: Encode, tmp_path: Path
) -> None:
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(encode("far96.mp4", size=(96, 96), frames=9).read_bytes())
    (work,) = run.plan(clip)
    os.utime(clip, ns=(1, 1))
    done = far.compute([work])
    assert (done.absent, done.computed) == ((work.request,), ())
    run.fill.take(done)  # it has changed here, too: the run here looks at it again
    os.utime(clip, ns=(1, work.request.mtime_ns))
    with pytest.raises(WorkerError, match=r"node node-7 does not have the clip .*clip.mp4, or not as it is here"):
        run.fill.take(done)


def test_a_node_that_would_compute_other_numbers_stops_the_run(run: Run, far: FarEngine, encode: Encode) -> None:
    (work,) = run.plan(encode("far96.mp4", size=(96, 96), frames=9))
    done = far.compute([replace(work, key=b"other")])
    with pytest.raises(ConfigError, match=r"node node-7: numbers of this node would not be those .* CPUExecution"):
        run.fill.take(done)


def test_what_fails_at_the_start_comes_with_the_nodes_name(run: Run) -> None:
    model = load_model(CONFIG)
    broken = FarEngine([replace(model, data=model.data[:100])], CONFIG, 1, "node-9").start()
    with pytest.raises(ModelError, match=r"node node-9: cannot load the model"):
        run.fill.take(send(broken))
    with pytest.raises(BugError, match=r"node node-9: ValueError: odd") as caught:
        run.fill.take(WorkDone("node-9", None, fault=Fault("BugError", "ValueError: odd", "the traceback")))
    assert caught.value.__notes__ == ["the traceback"]
