"""Which of the measured settings to use, for which reasons, and by which command."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from saliency_engine.config import RunConfig
from saliency_engine.jobs.bench.measure import Measured, Result
from saliency_engine.jobs.bench.reuse import LEAST_SAVED, Trial, choose
from saliency_engine.jobs.bench.settings import PROVIDERS, REFERENCE, Setting

MARGIN = 0.05
"""Settings whose rates differ by no more than this share are equally fast: rounds on a busy machine differ as much."""


@dataclass(frozen=True)
class Advice:
    """The setting to use, and why."""

    setting: Setting
    reasons: tuple[str, ...]
    command: str
    """The command line that uses it; one line."""


def advise(results: Sequence[Result], options: Mapping[str, Any]) -> Advice:
    """The fastest setting that agrees with the reference; of settings that are equally fast, the plainest.

    ``options`` are those of ``run`` that were given. Where no setting agrees, the advice is the reference itself.
    """
    measured = [(result.setting, result.measured) for result in results if result.measured is not None]
    agreeing = [(setting, figures) for setting, figures in measured if not figures.agreement.misses]
    if not agreeing:
        reason = (
            "no setting that was timed gives the numbers of cpu float32; use cpu float32 itself, which was not timed"
        )
        return Advice(REFERENCE, (reason, *_describe_faster(measured, 0.0)), make_command(REFERENCE, options))
    best = max(figures.clips_per_second for _, figures in agreeing)
    equal = [pair for pair in agreeing if pair[1].clips_per_second >= (1 - MARGIN) * best]
    setting, figures = min(equal, key=_plainness)
    reasons = [f"{setting}: {figures.clips_per_second:.2f} clips/s, the fastest that agrees with cpu float32"]
    if figures.clips_per_second < best:
        reasons[0] = (
            f"{setting}: {figures.clips_per_second:.2f} clips/s, the plainest of the settings that are within "
            f"{MARGIN:.0%} of the fastest that agrees with cpu float32 ({best:.2f} clips/s)"
        )
    plain = [f.clips_per_second for s, f in measured if (s.provider, s.precision) == ("cpu", "float32")]
    if plain and (setting.provider, setting.precision) != ("cpu", "float32"):
        reasons.append(f"it is {figures.clips_per_second / max(plain):.2f} times as fast as the best of cpu float32")
    if setting.precision != "float32":
        reasons.append(
            f"its numbers differ from those of cpu float32, a row's mean by at most "
            f"{figures.agreement.delta_mean_max:.4f}, its variance by at most {figures.agreement.delta_var_max:.4f}; "
            f"its rows have a model id of their own, because float32 and {setting.precision} must not be mixed in one "
            "table"
        )
    faster = _describe_faster(measured, figures.clips_per_second)
    return Advice(setting, (*reasons, *faster), make_command(setting, options))


def with_reuse(advice: Advice, trials: Sequence[Trial], options: Mapping[str, Any]) -> Advice:
    """``advice``, and of the ``trials`` of ``--reuse`` the one to be used, if any; ``options`` as in ``advise``."""
    good = choose(trials)
    if good is None:
        reason = (
            f"no --reuse is recommended: none saves {LEAST_SAVED:.0%} of the model runs on these clips and passes the "
            "gate of int8"
        )
        return dataclasses.replace(advice, reasons=(*advice.reasons, reason))
    reason = (
        f"--reuse {good.tau}: the model runs for {good.model_runs / good.frames:.0%} of the frames of these "
        f"{good.clips} clips, the mean correlation with the maps of all frames is {good.maps.correlation:.5f}, and a "
        f"row's mean differs by at most {good.delta_mean_max:.4f}; its rows have a sampling tag of their own"
    )
    command = make_command(advice.setting, {**options, "reuse": good.tau})
    return dataclasses.replace(advice, reasons=(*advice.reasons, reason), command=command)


def make_command(setting: Setting, options: Mapping[str, Any]) -> str:
    """``saliency-batch run`` with ``options`` and all of ``setting`` that is not the default, quoted for a shell."""
    words = ["saliency-batch", "run", "--input", "clips.jsonl", "--output", "out.jsonl"]
    for field in dataclasses.fields(RunConfig):
        value = {**options, **dataclasses.asdict(setting)}.get(field.name, field.default)
        flag = "--" + field.name.replace("_", "-")
        if value == field.default:
            continue
        if isinstance(field.default, bool):
            words.append(flag)
        else:
            values = value if isinstance(field.default, tuple) else (value,)
            for one in values:
                words += [flag, str(one)]
    return shlex.join(words)


def _plainness(pair: tuple[Setting, Measured]) -> tuple[bool, int, bool, bool, float]:
    """A key by which the plainest setting comes first."""
    setting, figures = pair
    order = PROVIDERS.index(setting.provider) if setting.provider in PROVIDERS else len(PROVIDERS)
    return (
        setting.precision != "float32",
        order,
        setting.threads != "auto",
        setting.batch_size != REFERENCE.batch_size,
        figures.memory_mb or 0.0,
    )


def _describe_faster(measured: Sequence[tuple[Setting, Measured]], rate: float) -> list[str]:
    """Why settings that do more clips per second than ``rate`` are not recommended."""
    return [
        f"faster but not recommended: {setting}, {figures.clips_per_second:.2f} clips/s, does not agree with cpu "
        f"float32: {'; '.join(figures.agreement.misses)}"
        for setting, figures in measured
        if figures.agreement.misses and figures.clips_per_second > rate
    ]
