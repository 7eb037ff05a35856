"""What ``saliency-batch bench`` measures: which settings start here, how fast they are, whether their numbers agree."""

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
from saliency_engine.jobs.bench.reuse import Trial, try_reuse
from saliency_engine.jobs.bench.settings import (
    PRECISIONS,
    PROVIDERS,
    REFERENCE,
    Choices,
    Setting,
    find_objection,
    list_settings,
)
from saliency_engine.jobs.bench.stopwatch import Job, Probe, Timing
from saliency_engine.jobs.bench.trial_process import run_trial
from saliency_engine.jobs.bench.window import STAGES
from saliency_engine.models.graph.edit import in_half_precision
from saliency_engine.models.graph.inspect import read_graph
from saliency_engine.models.load import Model
from saliency_engine.report.terminal import printable
from saliency_engine.types import ClipReference, Status

_START_SECONDS = 2.5  # what the start of a trial takes on two cores


@dataclass(frozen=True)
class Measured:
    """A setting's figures; those of which every round has one are medians."""

    threads: int
    """Threads of the model, ``auto`` resolved."""
    frames_per_second: float
    clips_per_second: float
    clips_least: float
    """Clips per second of the slowest round."""
    clips_most: float
    """Clips per second of the fastest round."""
    latency_ms: tuple[float, float]
    """Percentiles 50 and 95 of the milliseconds that a single clip took, over all rounds."""
    latencies: int
    """How many single clips were timed."""
    memory_mb: float | None
    """Peak memory in 10^6 bytes, the largest of any round; ``None`` where the system does not tell it."""
    busy: Mapping[str, float]
    """The share of time that each of ``STAGES`` was at work, in [0, 1]."""
    agreement: Agreement


@dataclass(frozen=True)
class Result:
    """A setting with its figures, or with the reason why it has none."""

    setting: Setting
    runs_on: str = ""
    """What really ran the model, by the name its library has for it; empty where nothing did."""
    measured: Measured | None = None
    reason: str = ""


class Bench:
    """A benchmark of ``model``, with the options ``options`` of ``run``, over ``clips``; ``console`` gets the progress.

    Clips that fail are left out, with a warning: from then on the attribute ``clips`` has the others only.
    """

    def __init__(
        self, options: Mapping[str, Any], model: Model, clips: Sequence[ClipReference], console: Console
    ) -> None:
        # Every process reads the model's file again, and must not take another model than this one.
        self._options = {**options, "model_sha256": model.sha256}
        self._operators, self._console = read_graph(model.data).operators, console
        self._half = in_half_precision(model.data)
        self.clips = list(clips)
        self._rows: dict[ClipReference, tuple[float, float]] = {}
        self._probes: dict[tuple[str, str], Probe] = {}

    def run(self, choices: Choices) -> list[Result]:
        """Try and time all ``choices``; a setting that does not run is a result with the reason.

        Raises ``SaliencyError`` where the reference does not run, because nothing could be compared then, and
        ``InputError`` where no clip can be used.
        """
        self._compute_reference()
        failed = list(self._try_providers(choices))
        settings = list_settings(choices, {names: probe.runs_on for names, probe in self._probes.items()})
        seconds = choices.rounds * sum(self._estimate_seconds(setting) for setting in settings)
        self._say(
            f"{len(settings)} settings × {choices.rounds} rounds over {len(self.clips)} clips: about "
            f"{_format_duration(seconds)}"
        )
        return [*self._time_settings(settings, choices.rounds), *failed]

    def try_reuse(self, setting: Setting) -> list[Trial]:
        """Try ``--reuse`` in a setting that was timed."""
        self._say(f"trying --reuse with {setting}")
        trials, _ = run_trial(try_reuse, self._job(setting, self.clips))
        return trials

    def _say(self, text: str) -> None:
        self._console.print(printable(text), markup=False, highlight=False, soft_wrap=True)

    def _job(self, setting: Setting, clips: Sequence[ClipReference]) -> Job:
        return Job({**self._options, **dataclasses.asdict(setting)}, clips)

    def _estimate_seconds(self, setting: Setting) -> float:
        """How long a trial takes: its start, some clips one by one, and the window of a steady run."""
        clip = self._probes[setting.provider, setting.precision].clip_seconds
        return _START_SECONDS + max(1.0, 6 * clip) + max(2.5, 8 * clip)

    def _compute_reference(self) -> None:
        """Compute the reference's rows and maps; clips that fail are left out, with a warning."""
        self._say(f"computing the reference, {REFERENCE.provider} {REFERENCE.precision}")
        reference, _ = run_trial(stopwatch.probe, self._job(REFERENCE, self.clips))
        done = reference.results
        if len(done) < len(self.clips):
            self._say(f"the model is slow here, so only the first {len(done)} of these clips are measured with")
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
        self._probes[REFERENCE.provider, REFERENCE.precision] = reference

    def _try_providers(self, choices: Choices) -> Iterator[Result]:
        """Start every provider in every precision once; yields those that do not run."""
        for provider in choices.providers or PROVIDERS:
            if objection := find_objection(provider, self._operators):
                yield Result(Setting(provider, "float32"), reason=objection)
                continue
            for precision in choices.precisions or PRECISIONS:
                if (provider, precision) in self._probes:
                    continue
                setting = Setting(provider, precision)
                self._say(f"trying {provider} {precision}")
                try:
                    self._probes[provider, precision] = self._probe(setting)
                except SaliencyError as error:
                    if choices.precisions:
                        yield Result(setting, reason=str(error))
                    elif precision == "float32":
                        yield Result(setting, reason=str(error))
                        break  # where float32 does not start, no other precision will
                    else:  # it was not asked for by name, so it is not missed in the table
                        self._say(f"  does not run: {error}")

    def _probe(self, setting: Setting) -> Probe:
        probe, _ = run_trial(stopwatch.probe, self._job(setting, self.clips[: stopwatch.MAPPED_CLIPS]))
        for result in probe.results:
            if result.status is not Status.OK:
                raise ProviderError(f"{result.status}: {result.reason}")
        return probe

    def _time_settings(self, settings: Sequence[Setting], rounds: int) -> list[Result]:
        """Time every setting once a round, one after the other, so that a machine that drifts disturbs all alike."""
        trials: dict[Setting, list[tuple[Timing, float | None]]] = {setting: [] for setting in settings}
        reasons: dict[Setting, str] = {}
        turns = [setting for _ in range(rounds) for setting in settings]
        with _progress(self._console) as bar:
            task = bar.add_task("", total=len(turns))
            for number, setting in enumerate(turns, 1):
                bar.update(task, description=str(setting))
                if setting not in reasons:
                    try:
                        timing, memory = run_trial(stopwatch.time_round, self._job(setting, self.clips))
                        trials[setting].append((timing, memory))
                        outcome = f"{timing.clips_per_second:.2f} clips/s"
                    except SaliencyError as error:
                        reasons[setting] = outcome = str(error)
                    if not self._console.is_terminal:
                        self._say(f"{number}/{len(turns)} {setting}: {outcome}")
                bar.advance(task)
        return [self._result(setting, trials[setting], reasons.get(setting, "")) for setting in settings]

    def _result(self, setting: Setting, trials: Sequence[tuple[Timing, float | None]], reason: str) -> Result:
        probe = self._probes[setting.provider, setting.precision]
        if reason:
            return Result(setting, probe.runs_on, reason=reason)
        reference = self._probes[REFERENCE.provider, REFERENCE.precision]
        timings, memories = zip(*trials, strict=True)
        # The rows are those of the last round: they do not depend on the round.
        on_card = "CPU" not in probe.runs_on
        bounds = gate(setting.precision, self._operators, float32_on_card=on_card and not self._half)
        agreed = agreement(self._rows, timings[-1].rows, reference.maps, probe.maps, bounds)
        return Result(setting, probe.runs_on, _summarize(timings, memories, agreed))


def _summarize(timings: Sequence[Timing], memories: Sequence[float | None], agreed: Agreement) -> Measured:
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


def _format_duration(seconds: float) -> str:
    return f"{seconds:.0f} seconds" if seconds < 90 else f"{seconds / 60:.0f} minutes"


def _progress(console: Console) -> Progress:
    # Two redraws a second, because rich's ten would take some of the time that is measured.
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        refresh_per_second=2,
        disable=not console.is_terminal,
    )
