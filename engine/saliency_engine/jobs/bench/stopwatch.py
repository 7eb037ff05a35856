"""What a trial's own process does: one setting of the real engine, tried and timed. ``trial_process.py`` starts it.

Two ways of use are timed, those of MLPerf Inference (arXiv:1911.02549): one clip at a time on an idle engine
(`single stream`: the latency), and as many clips as the engine takes (`offline`: the rates, the stages).
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
from saliency_engine.pipeline.one_clip import compute_clip
from saliency_engine.types import ClipReference, ClipResult, Status, row_batch_of

Rows = Mapping[ClipReference, tuple[float, float]]
"""(mean, var) by clip."""
MAPPED_CLIPS = 4  # clips whose maps are kept: 8 frames each are 13 MB at 320×320
_PROBE_SECONDS = 20.0
_WARM_UP, _LATENCIES, _LATENCY_SECONDS = 2, 4, 1.0


@dataclass(frozen=True)
class Job:
    """One setting on some clips: ``options`` are ``RunConfig``'s."""

    options: Mapping[str, Any]
    clips: Sequence[ClipReference]


@dataclass(frozen=True)
class Probe:
    """A setting that starts: what it runs on, results of the first clips, maps of the first of these that are ok.

    ``clip_seconds``: what a clip took on average. ``maps``: float32 ``[frames, map_H, map_W]``.
    """

    runs_on: str
    results: tuple[ClipResult, ...]
    clip_seconds: float
    maps: NDArray[np.float32]


@dataclass(frozen=True)
class Timing:
    """One round of one setting.

    ``latencies``: seconds from handing one clip to the idle engine until its result. The rates, per second, and
    ``busy``, the shares of its stages, are a ``Window``'s. ``rows``: (mean, var) of the clips that were met.
    """

    threads: int
    frames_per_second: float
    clips_per_second: float
    latencies: tuple[float, ...]
    busy: Mapping[str, float]
    rows: Rows


def probe(job: Job) -> Probe:
    """Compute every clip once, or in twenty seconds as many as can be.

    Raises ``SaliencyError`` when the setting does not run here; clips may fail.
    """
    with Engine(_config(job)) as engine:
        started = time.perf_counter()
        table = (row_batch_of([clip]) for clip in _while_there_is_time(job.clips, started + _PROBE_SECONDS))
        results = [result for _, found in engine.results(table) for result in found]
        seconds = (time.perf_counter() - started) / len(results)
        good = [clip for clip, result in zip(job.clips, results, strict=False) if result.status is Status.OK]
        maps = [compute_clip(clip, engine.session, engine.config).maps for clip in good[:MAPPED_CLIPS]]
        empty = np.empty((0, engine.session.map_height, engine.session.map_width), np.float32)
        return Probe(engine.session.provider, tuple(results), seconds, np.concatenate([empty, *maps]))


def time_round(job: Job) -> Timing:
    """Time one round. Raises ``SaliencyError`` when the setting does not run here or a clip fails."""
    config = _config(job)
    with Engine(config, locator=RepeatingLocator(config)) as engine:
        rows: dict[ClipReference, tuple[float, float]] = {}
        latencies = tuple(_latencies(engine, job.clips, rows))
        window = Window(engine.counts, engine.clock, engine.decode_workers)
        try:
            # As many rows as fill all slots of the decoders, and every clip among them.
            count = max(len(job.clips), 4 * engine.decode_workers + 4)
            table = itertools.repeat(row_batch_of(list(itertools.islice(itertools.cycle(job.clips), count))))
            for batch, results in engine.results(table, window.tick):
                _keep(batch.clips, results, rows)
        except EnoughError:
            pass
        return Timing(engine.threads, *window.rates(), latencies, window.busy(), rows)


def _config(job: Job) -> RunConfig:
    return RunConfig(**job.options, memo="off")


def _while_there_is_time(clips: Sequence[ClipReference], deadline: float) -> Iterator[ClipReference]:
    for count, clip in enumerate(clips):
        if count >= MAPPED_CLIPS and time.perf_counter() > deadline:
            return
        yield clip


def _latencies(
    engine: Engine, clips: Sequence[ClipReference], rows: dict[ClipReference, tuple[float, float]]
) -> Iterator[float]:
    began = time.perf_counter()
    for count, clip in enumerate(itertools.cycle(clips)):
        started = time.perf_counter()
        ((batch, results),) = engine.results([row_batch_of([clip])])
        ended = time.perf_counter()
        _keep(batch.clips, results, rows)
        if count < _WARM_UP:
            began = ended
        else:
            yield ended - started
            if count + 1 >= _WARM_UP + _LATENCIES and ended - began >= _LATENCY_SECONDS:
                return


def _keep(
    sources: Sequence[ClipReference], results: Sequence[ClipResult], rows: dict[ClipReference, tuple[float, float]]
) -> None:
    for source, result in zip(sources, results, strict=True):
        if result.mean is None or result.var is None:
            raise InferenceError(f"{source.path}: {result.status}: {result.reason}")
        rows[source] = result.mean, result.var
