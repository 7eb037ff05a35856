"""The measuring behind ``saliency-batch bench``: what starts here, how fast it is, whether its numbers are right."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from saliency_engine.errors import InputError, ProviderError, SaliencyError
from saliency_engine.jobs.bench import stopwatch
from saliency_engine.jobs.bench.agreement import Agreement, agreement, gate
from saliency_engine.jobs.bench.settings import PRECISIONS, PROVIDERS, REFERENCE, Asked, Setting, grid
from saliency_engine.jobs.bench.stopwatch import Job, Probe, Timing
from saliency_engine.jobs.bench.trial_process import run_trial
from saliency_engine.jobs.bench.window import STAGES
from saliency_engine.models.graph.inspect import read_graph
from saliency_engine.models.load import Model
from saliency_engine.report.terminal import printable
from saliency_engine.types import ClipReference, Status

_START_SECONDS = 2.5  # of a trial, on two cores


@dataclass(frozen=True)
class Measured:
    """A setting's figures: medians over the rounds (rates per second, ``busy`` shares), with the ends of ``clips``.

    ``latency_ms``: p50 and p95 over ``latencies`` single clips of all rounds. ``memory_mb``: the largest of any round.
    """

    threads: int
    frames_per_second: float
    clips_per_second: float
    clips_least: float
    clips_most: float
    latency_ms: tuple[float, float]
    latencies: int
    memory_mb: float | None
    busy: Mapping[str, float]
    agreement: Agreement


@dataclass(frozen=True)
class Result:
    """A setting with its figures, or with the ``reason`` why it has none; ``runs_on`` is what really ran."""

    setting: Setting
    runs_on: str = ""
    measured: Measured | None = None
    reason: str = ""


class Bench:
    """One benchmark of ``model``, whose options of ``run`` are ``options``, over ``clips``. Talks on ``console``.

    ``clips`` is what is left of them once those that fail have been said.
    """

    def __init__(
        self, options: Mapping[str, Any], model: Model, clips: Sequence[ClipReference], console: Console
    ) -> None:
        # Every process loads the model for itself, and only if it is still the same.
        self._options = {**options, "model_sha256": model.sha256}
        self._operators, self._console = read_graph(model.data).operators, console
        self.clips = list(clips)
        self._rows: dict[ClipReference, tuple[float, float]] = {}
        self._probes: dict[tuple[str, str], Probe] = {}

    def run(self, asked: Asked) -> list[Result]:
        """Try and time what is asked for; settings that do not run are results, too.

        Raises ``SaliencyError`` where the reference does not run, for then nothing can be said of any other, and
        ``InputError`` where no clip can be used.
        """
        self._refer()
        failed = list(self._start(asked))
        settings = grid(asked, {names: probe.runs_on for names, probe in self._probes.items()})
        self._say(
            f"{len(settings)} settings × {asked.rounds} rounds over {len(self.clips)} clips: some "
            f"{_duration(asked.rounds * sum(map(self._trial_seconds, settings)))}"
        )
        return [*self._measure(settings, asked.rounds), *failed]

    def _say(self, text: str) -> None:
        self._console.print(printable(text), markup=False, highlight=False, soft_wrap=True)

    def _job(self, setting: Setting, clips: Sequence[ClipReference]) -> Job:
        return Job({**self._options, **dataclasses.asdict(setting)}, clips)

    def _trial_seconds(self, setting: Setting) -> float:
        """What a trial takes: its start, some clips one by one, and a window of the steady run."""
        clip = self._probes[setting.provider, setting.precision].clip_seconds
        return _START_SECONDS + max(1.0, 6 * clip) + max(2.5, 8 * clip)

    def _refer(self) -> None:
        """The reference's rows and maps; clips that fail are said and left out."""
        self._say(f"the reference: {REFERENCE.provider} {REFERENCE.precision}")
        self._reference, _ = run_trial(stopwatch.probe, self._job(REFERENCE, self.clips))
        done = self._reference.results
        if len(done) < len(self.clips):
            self._say(f"the model is slow here: measuring with the first {len(done)} of these clips")
        for clip, result in zip(self.clips, done, strict=False):
            if result.mean is None or result.var is None:
                self._say(
                    f"warning: {clip.path or 'a row without a path'} is left out: {result.status}: {result.reason}"
                )
            else:
                self._rows[clip] = result.mean, result.var
        if not self._rows:
            raise InputError("none of the clips can be used; the warnings say why")
        self.clips = list(self._rows)
        self._probes[REFERENCE.provider, REFERENCE.precision] = self._reference

    def _start(self, asked: Asked) -> Iterator[Result]:
        """Start every provider in every precision once; yields those that do not run."""
        for provider in asked.providers or PROVIDERS:
            for precision in asked.precisions or PRECISIONS:
                if (provider, precision) in self._probes:
                    continue
                setting = Setting(provider, precision)
                self._say(f"trying {provider} {precision}")
                try:
                    self._probes[provider, precision] = self._probe(setting)
                except SaliencyError as error:
                    if asked.precisions:
                        yield Result(setting, reason=str(error))
                    elif precision == "float32":  # where it does not start nothing will
                        yield Result(setting, reason=str(error))
                        break
                    else:  # not asked for by name, so not missed
                        self._say(f"  does not run: {error}")

    def _probe(self, setting: Setting) -> Probe:
        found, _ = run_trial(stopwatch.probe, self._job(setting, self.clips[: stopwatch.MAPPED_CLIPS]))
        for result in found.results:
            if result.status is not Status.OK:
                raise ProviderError(f"{result.status}: {result.reason}")
        return found

    def _measure(self, settings: Sequence[Setting], rounds: int) -> list[Result]:
        """Time every setting once a round, one after the other, so that a machine that drifts disturbs all alike."""
        taken: dict[Setting, list[tuple[Timing, float | None]]] = {setting: [] for setting in settings}
        reasons: dict[Setting, str] = {}
        plan = [setting for _ in range(rounds) for setting in settings]
        with _progress(self._console) as bar:
            task = bar.add_task("", total=len(plan))
            for number, setting in enumerate(plan, 1):
                bar.update(task, description=str(setting))
                if setting not in reasons:
                    try:
                        taken[setting].append(run_trial(stopwatch.time_round, self._job(setting, self.clips)))
                        told = f"{taken[setting][-1][0].clips_per_second:.2f} clips/s"
                    except SaliencyError as error:
                        reasons[setting] = told = str(error)
                    if not self._console.is_terminal:
                        self._say(f"{number}/{len(plan)} {setting}: {told}")
                bar.advance(task)
        return [self._result(setting, taken[setting], reasons.get(setting, "")) for setting in settings]

    def _result(self, setting: Setting, taken: Sequence[tuple[Timing, float | None]], reason: str) -> Result:
        found = self._probes[setting.provider, setting.precision]
        if reason:
            return Result(setting, found.runs_on, reason=reason)
        bounds = gate(setting.precision, self._operators)
        # The last round's rows: they do not depend on the round.
        agreed = agreement(self._rows, taken[-1][0].rows, self._reference.maps, found.maps, bounds)
        return Result(setting, found.runs_on, _figures([timing for timing, _ in taken], [m for _, m in taken], agreed))


def _figures(timings: Sequence[Timing], memories: Sequence[float | None], agreed: Agreement) -> Measured:
    latencies = [1e3 * seconds for timing in timings for seconds in timing.latencies]
    clips = [timing.clips_per_second for timing in timings]
    return Measured(
        threads=timings[0].threads,
        frames_per_second=statistics.median(timing.frames_per_second for timing in timings),
        clips_per_second=statistics.median(clips),
        clips_least=min(clips),
        clips_most=max(clips),
        latency_ms=(float(np.percentile(latencies, 50)), float(np.percentile(latencies, 95))),
        latencies=len(latencies),
        memory_mb=max((memory for memory in memories if memory is not None), default=None),
        busy={stage: statistics.median(timing.busy[stage] for timing in timings) for stage in STAGES},
        agreement=agreed,
    )


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} seconds" if seconds < 90 else f"{seconds / 60:.0f} minutes"


def _progress(console: Console) -> Progress:
    # Two redraws a second: ten would take some of the time that is measured.
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        refresh_per_second=2,
        disable=not console.is_terminal,
    )
