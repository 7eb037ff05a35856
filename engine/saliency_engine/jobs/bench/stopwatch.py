"""What the process of a trial does: it tries or times one setting with the real engine. ``trial_process`` starts it.

Two ways of use are timed, which are those of MLPerf Inference (arXiv:1911.02549): one clip at a time on an idle engine
(`single stream`, for the latency), and as many clips as the engine takes (`offline`, for the rates and the stages).
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from saliency_engine.config import RunConfig
from saliency_engine.errors import InferenceError
from saliency_engine.jobs.bench.repeating_locator import RepeatingLocator
from saliency_engine.jobs.bench.window import EnoughError, Window
from saliency_engine.pipeline.engine import Engine
from saliency_engine.pipeline.one_clip import model_clip
from saliency_engine.types import ClipReference, ClipResult, Status, row_batch_of

Rows = Mapping[ClipReference, tuple[float, float]]
"""(mean, var) by clip."""
MAPPED_CLIPS = 4  # clips whose maps are kept: 8 frames each are 13 MB at 320×320
_PROBE_SECONDS = 20.0
_WARM_UP, _LATENCIES, _LATENCY_SECONDS = 2, 4, 1.0


@dataclass(frozen=True)
class Job:
    """A trial: ``RunConfig``'s ``options`` on some clips."""

    options: Mapping[str, Any]
    clips: Sequence[ClipReference]


@dataclass(frozen=True)
class Probe:
    """What came of trying a setting."""

    runs_on: str
    """What really runs the model, by the name its library has for it."""
    results: tuple[ClipResult, ...]
    """Those of the first clips, in order."""
    clip_seconds: float
    """How long a clip took on average."""
    maps: NDArray[np.float32]
    """The maps ``[frames, map_H, map_W]`` of the first ``MAPPED_CLIPS`` clips that are ok, one after the other."""


@dataclass(frozen=True)
class Timing:
    """One round of one setting; see ``Window`` for the rates and for ``busy``."""

    threads: int
    frames_per_second: float
    clips_per_second: float
    latencies: tuple[float, ...]
    """Seconds from handing one clip to the idle engine until its result, for every clip timed so."""
    busy: Mapping[str, float]
    rows: Rows


def probe(job: Job) -> Probe:
    """Compute every clip once; where that takes more than twenty seconds, the first ones only.

    Raises ``SaliencyError`` when the setting does not run here; clips may fail.
    """
    with Engine(_config(job)) as engine:
        started = time.perf_counter()
        table = (row_batch_of([clip]) for clip in _take_until(job.clips, started + _PROBE_SECONDS))
        results = [result for _, (result,) in engine.results(table)]
        seconds = (time.perf_counter() - started) / len(results)
        good = [clip for clip, result in zip(job.clips, results, strict=False) if result.status is Status.OK]
        maps = [model_clip(clip, engine.session, engine.config).maps for clip in good[:MAPPED_CLIPS]]
        empty = np.empty((0, engine.session.map_height, engine.session.map_width), np.float32)
        return Probe(engine.session.provider, tuple(results), seconds, np.concatenate([empty, *maps]))


def time_round(job: Job) -> Timing:
    """Time one round. Raises ``SaliencyError`` when the setting does not run here or a clip fails."""
    config = _config(job)
    with Engine(config, locator=RepeatingLocator(config)) as engine:
        rows: dict[ClipReference, tuple[float, float]] = {}
        latencies = _time_clips_one_by_one(engine, job.clips, rows)
        window = Window(engine.counts, engine.clock, engine.decode_workers)
        try:
            # As many rows as fill all ring slots, and every clip among them.
            count = max(len(job.clips), 4 * engine.decode_workers + 4)
            table = itertools.repeat(row_batch_of(list(itertools.islice(itertools.cycle(job.clips), count))))
            for batch, results in engine.results(table, window.tick):
                _keep(batch.clips, results, rows)
        except EnoughError:
            pass
        return Timing(engine.threads, *window.rates(), latencies, window.busy(), rows)


def _config(job: Job) -> RunConfig:
    return RunConfig(**job.options, memo="off")


def _take_until(clips: Sequence[ClipReference], deadline: float) -> Iterator[ClipReference]:
    for count, clip in enumerate(clips):
        if count >= MAPPED_CLIPS and time.perf_counter() > deadline:
            return
        yield clip


def _time_clips_one_by_one(
    engine: Engine, clips: Sequence[ClipReference], rows: dict[ClipReference, tuple[float, float]]
) -> tuple[float, ...]:
    """Seconds that single clips took, without the first ones, which warm up. Puts their numbers into ``rows``."""
    latencies: list[float] = []
    for count, clip in enumerate(itertools.cycle(clips)):
        started = time.perf_counter()
        ((batch, results),) = engine.results([row_batch_of([clip])])
        ended = time.perf_counter()
        _keep(batch.clips, results, rows)
        if count >= _WARM_UP:
            latencies.append(ended - started)
        if len(latencies) >= _LATENCIES and sum(latencies) >= _LATENCY_SECONDS:
            break
    return tuple(latencies)


def _keep(
    clips: Sequence[ClipReference], results: Sequence[ClipResult], rows: dict[ClipReference, tuple[float, float]]
) -> None:
    """Put the clips' numbers into ``rows``. Raises ``InferenceError`` where one has none."""
    for clip, result in zip(clips, results, strict=True):
        if result.mean is None or result.var is None:
            raise InferenceError(f"{clip.path}: {result.status}: {result.reason}")
        rows[clip] = result.mean, result.var
