"""A benchmark's results, as a table for people and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table as Grid

from saliency_engine import machine
from saliency_engine.jobs.bench.measure import Measured, Result
from saliency_engine.jobs.bench.recommend import Advice
from saliency_engine.jobs.bench.reuse import Trial
from saliency_engine.jobs.bench.settings import Setting
from saliency_engine.models.load import Model
from saliency_engine.report.terminal import printable

SCHEMA = "saliency-batch-bench-v1"
_COLUMNS = {
    "": "left",
    **dict.fromkeys(("threads", "batch size", "frames/s", "clips/s", "ms p50/p95", "MB", "busy %"), "right"),
    **dict.fromkeys(("|Δmean|", "|Δvar|", "r"), "right"),
    "agrees": "left",
}
_STEADY = 1.3  # rounds are steady while the fastest is not this many times as fast as the slowest
_LEAST_WIDTH = 160  # on a narrower terminal lines are broken, where rich would cut the cells


def print_table(results: Sequence[Result]) -> None:
    """Print the table on stdout, fastest first, and below it why settings have no figures or do not agree."""
    grid = Grid(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for name, side in _COLUMNS.items():
        grid.add_column(name, justify="left" if side == "left" else "right", no_wrap=True)
    notes: list[str] = []
    for result in in_order(results):
        if result.measured is None:
            notes.append(f"{_name_of(result)} did not run: {result.reason}")
            grid.add_row(_name_of(result), *[""] * (len(_COLUMNS) - 2), "did not run")
        else:
            grid.add_row(_name_of(result), *_cells_of(result.setting, result.measured))
            if misses := result.measured.agreement.misses:
                notes.append(f"{_name_of(result)} does not agree with cpu float32: {'; '.join(misses)}")
    if warning := _warn_of_unsteady_rounds(results):
        notes.append(warning)
    console = Console(width=max(Console().width, _LEAST_WIDTH))
    console.print(grid)
    console.print(
        "busy %: decoders/batching/model/aggregation. Compared with cpu float32: |Δ|, the largest difference of a row; "
        "r, the mean correlation of the maps."
    )
    for note in dict.fromkeys(notes):  # settings that differ in threads or batch size alone have the same note
        console.print(printable(note), markup=False, highlight=False, soft_wrap=True)


def print_trials(trials: Sequence[Trial]) -> None:
    """Print the trials of ``--reuse`` on stdout, and below how they are to be read."""
    grid = Grid(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for name in ("--reuse", "model runs", "r", "least r", "|Δmean| of a map", "of a row", "|Δvar| of a row"):
        grid.add_column(name, justify="right", no_wrap=True)
    grid.add_column("agrees", no_wrap=True)
    for trial in trials:
        grid.add_row(
            str(trial.tau),
            f"{trial.model_runs / trial.frames:.0%}",
            f"{trial.maps.correlation:.5f}",
            f"{trial.maps.least_correlation:.4f}",
            f"{trial.maps.delta_mean:.4f}",
            f"{trial.delta_mean_max:.4f}",
            f"{trial.delta_var_max:.4f}",
            "no" if trial.misses else "yes",
        )
    console = Console(width=max(Console().width, _LEAST_WIDTH))
    console.print(grid)
    console.print(
        f"clips measured: {trials[0].clips}; model runs: the share of their frames. Compared with the same setting "
        "without --reuse: r, the mean correlation of the maps; |Δ|, the largest difference. Gate: that of int8."
    )


def _warn_of_unsteady_rounds(results: Sequence[Result]) -> str:
    """A warning about the setting whose rounds are farthest apart, where that is far; else empty."""
    runs = [(result.setting, result.measured) for result in results if result.measured is not None]
    setting, figures = max(runs, key=lambda run: run[1].clips_most / run[1].clips_least, default=(None, None))
    if figures is None or figures.clips_most < _STEADY * figures.clips_least:
        return ""
    return (
        f"unsteady: rounds of {setting} ran at {figures.clips_least:.2f} to {figures.clips_most:.2f} clips/s. Perhaps "
        "something else runs on this machine; trust large differences only, or measure again with more --rounds"
    )


def in_order(results: Sequence[Result]) -> list[Result]:
    """Fastest first, those without figures last."""
    return sorted(results, key=lambda result: -(result.measured.clips_per_second if result.measured else 0.0))


def as_json(
    results: Sequence[Result], advice: Advice, model: Model, options: Mapping[str, Any], method: Mapping[str, Any]
) -> dict[str, Any]:
    """All results, with the machine; docs/performance.md explains the figures. ``method``: the clips, the rounds, and
    the trials of ``--reuse``.
    """
    return {
        "schema": SCHEMA,
        "machine": machine.describe(),
        "model": model.as_json(),
        "options": dict(options),
        **method,
        "settings": [_setting_json(result) for result in in_order(results)],
        "recommended": {**asdict(advice.setting), "reasons": list(advice.reasons), "command": advice.command},
    }


def _name_of(result: Result) -> str:
    name = f"{result.setting.provider} {result.setting.precision}"
    return f"{name} ({result.runs_on})" if result.setting.provider == "auto" and result.runs_on else name


def _cells_of(setting: Setting, figures: Measured) -> list[str]:
    agreed, (p50, p95) = figures.agreement, figures.latency_ms
    return [
        f"auto ({figures.threads})" if setting.threads == "auto" else str(setting.threads),
        str(setting.batch_size),
        f"{figures.frames_per_second:.1f}",
        f"{figures.clips_per_second:.2f}",
        f"{p50:.0f}/{p95:.0f}",
        "" if figures.memory_mb is None else f"{figures.memory_mb:.0f}",
        "/".join(f"{100 * share:.0f}" for share in figures.busy.values()),
        f"{agreed.delta_mean_max:.6f}",
        f"{agreed.delta_var_max:.6f}",
        f"{agreed.maps.correlation:.6f}",
        "no" if agreed.misses else "yes",
    ]


def _setting_json(result: Result) -> dict[str, Any]:
    entry = {**asdict(result.setting), "runs_on": result.runs_on, "status": "ok" if result.measured else "failed"}
    figures = result.measured
    if figures is None:
        return {**entry, "reason": result.reason}
    p50, p95 = figures.latency_ms
    return {
        **entry,
        "threads_used": figures.threads,
        "frames_per_second": figures.frames_per_second,
        "clips_per_second": {
            "median": figures.clips_per_second,
            "least": figures.clips_least,
            "most": figures.clips_most,
        },
        "latency_ms": {"p50": p50, "p95": p95, "clips": figures.latencies},
        "memory_mb": figures.memory_mb,
        "busy": dict(figures.busy),
        "agreement": figures.agreement.as_json(),
    }
