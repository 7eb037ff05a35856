"""Which of the measured settings to use, why, and the command line for it."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from saliency_engine.config import RunConfig
from saliency_engine.jobs.bench.measure import Measured, Result
from saliency_engine.jobs.bench.settings import PROVIDERS, REFERENCE, Setting

MARGIN = 0.05
"""Settings whose rates are nearer than this are equally fast: rounds on a busy machine differ by as much."""


@dataclass(frozen=True)
class Advice:
    """The setting to use, the reasons in words, and the command, one line."""

    setting: Setting
    reasons: tuple[str, ...]
    command: str


def advise(results: Sequence[Result], options: Mapping[str, Any]) -> Advice:
    """The fastest setting whose numbers are the reference's; among equally fast ones the plainest.

    ``options`` are those of ``run`` that were given. Where no setting agrees the advice is the reference itself.
    """
    measured = [(result.setting, result.measured) for result in results if result.measured is not None]
    agreeing = [(setting, figures) for setting, figures in measured if not figures.agreement.misses]
    if not agreeing:
        reason = "nothing that was timed gives the numbers of cpu float32: this is cpu float32 itself, untimed"
        return Advice(REFERENCE, (reason, *_passed_over(measured, 0.0)), command(REFERENCE, options))
    best = max(figures.clips_per_second for _, figures in agreeing)
    equal = [pair for pair in agreeing if pair[1].clips_per_second >= (1 - MARGIN) * best]
    setting, figures = min(equal, key=_plainness)
    reasons = [f"{setting}: {figures.clips_per_second:.2f} clips/s, the fastest that agrees with cpu float32"]
    if figures.clips_per_second < best:
        reasons[0] = (
            f"{setting}: {figures.clips_per_second:.2f} clips/s, within {MARGIN:.0%} of the fastest that agrees with "
            f"cpu float32 ({best:.2f}), and the plainest of these"
        )
    plain = [f.clips_per_second for s, f in measured if (s.provider, s.precision) == ("cpu", "float32")]
    if plain and (setting.provider, setting.precision) != ("cpu", "float32"):
        reasons.append(f"{figures.clips_per_second / max(plain):.2f} times as fast as the best of cpu float32")
    if setting.precision != "float32":
        reasons.append(
            f"its rows move: mean by {figures.agreement.delta_mean_max:.4f} at most, variance by "
            f"{figures.agreement.delta_var_max:.4f}; they bear a model id of their own, for --precision float32 and "
            f"{setting.precision} must not be mixed in one table"
        )
    return Advice(setting, (*reasons, *_passed_over(measured, figures.clips_per_second)), command(setting, options))


def command(setting: Setting, options: Mapping[str, Any]) -> str:
    """``saliency-batch run`` with ``options`` and what of ``setting`` is not the default, quoted for a shell."""
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
            words += [word for one in values for word in (flag, str(one))]
    return shlex.join(words)


def _plainness(pair: tuple[Setting, Measured]) -> tuple[bool, int, bool, bool, float]:
    setting, figures = pair
    order = PROVIDERS.index(setting.provider) if setting.provider in PROVIDERS else len(PROVIDERS)
    return (
        setting.precision != "float32",
        order,
        setting.threads != "auto",
        setting.batch_size != REFERENCE.batch_size,
        figures.memory_mb or 0.0,
    )


def _passed_over(measured: Sequence[tuple[Setting, Measured]], rate: float) -> list[str]:
    return [
        f"passed over: {setting}, {figures.clips_per_second:.2f} clips/s: {'; '.join(figures.agreement.misses)}"
        for setting, figures in measured
        if figures.agreement.misses and figures.clips_per_second > rate
    ]
