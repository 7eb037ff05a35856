"""A run as a page: statuses, reasons, distributions, clips, where the time went, settings and provenance."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from saliency_engine.config import OPTIONS
from saliency_engine.options import flag_of
from saliency_engine.report.charts import draw_bars, draw_histogram, draw_scatter
from saliency_engine.report.contact_sheet import Tile
from saliency_engine.report.html import Thumbnail, count, number, render_page, share, thumbnail_of
from saliency_engine.types import Status

Numbers = NDArray[np.float64]
_MOST_SIGNALS, _MOST_FAILURES = 9, 30
_DONE = (str(Status.OK), str(Status.SKIPPED_EXISTING))


@dataclass(frozen=True)
class Failure:
    """Rows that failed in one way."""

    status: str
    reason: str
    """That of the first of them."""
    rows: int


@dataclass(frozen=True)
class Setting:
    """The tags of rows with numbers; empty where they say nothing."""

    model_id: str
    aggregator: str
    ema_alpha: str
    sampling: str
    rows: int


@dataclass(frozen=True)
class RunReport:
    """What the page is made of."""

    table: str
    rows: int
    statuses: Mapping[str, int]
    """Rows by status, those with numbers first."""
    failures: Sequence[Failure]
    settings: Sequence[Setting]
    signals: Mapping[str, Numbers]
    """``[rows]`` by name, ``mean`` first; NaN where a row has none."""
    tiles: Sequence[Tile]
    """From the lowest mean to the highest."""
    audit: Mapping[str, Any] | None
    """That of the run; ``None`` where there is none."""


def draw_report(report: RunReport) -> str:
    """The page, as HTML."""
    computed = int(np.isfinite(report.signals["mean"]).sum())
    audit = report.audit
    return render_page(
        "report.html",
        title=_headline(report.rows, computed),
        report=report,
        figures_shown=_list_figures(report, computed),
        status_chart=draw_bars(list(report.statuses), list(report.statuses.values()), "rows", _colors(report.statuses)),
        failures=report.failures[:_MOST_FAILURES],
        more_failures=sum(failure.rows for failure in report.failures[_MOST_FAILURES:]),
        distributions=_draw_distributions(report.signals),
        thumbnails=list(map(_to_thumbnail, report.tiles)),
        stages=_draw_stages(audit) if audit else None,
        slowest=_draw_slowest(audit) if audit else None,
        options=_list_options(audit) if audit else [],
        command=shlex.join(["saliency-batch", *_argv_of(audit)]) if audit and _argv_of(audit) else "",
        provenance=_list_provenance(audit) if audit else [],
    )


def _headline(rows: int, computed: int) -> str:
    if not rows:
        return "The table has no rows"
    if rows == computed:
        return f"All {count(rows)} rows have saliency" if rows > 1 else "The row has saliency"
    if not computed:
        return f"None of the {count(rows)} rows has a number" if rows > 1 else "The row has no number"
    return f"{count(computed)} of {count(rows)} rows have saliency"


def _list_figures(report: RunReport, computed: int) -> list[tuple[str, str]]:
    figures = [("rows", count(report.rows)), ("with numbers", share(computed / report.rows if report.rows else None))]
    means = report.signals["mean"]
    if computed:
        figures.append(("median mean", number(float(np.nanmedian(means)))))
    if report.audit:
        clips, seconds = report.audit["clips"], report.audit["seconds"]
        figures.append(("clips computed", count(clips["computed"])))
        if clips["reused"]:
            figures.append(("from the memo", count(clips["reused"])))
        figures.append(("time", _describe_time(seconds)))
    return figures


def _describe_time(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _colors(statuses: Mapping[str, int]) -> list[int]:
    """Those with numbers in one colour, the others in another."""
    return [1 if status in _DONE else 0 for status in statuses]


def _draw_distributions(signals: Mapping[str, Numbers]) -> list[tuple[Any, str]]:
    charts = []
    for name, values in list(signals.items())[:_MOST_SIGNALS]:
        finite = values[np.isfinite(values)]
        if len(finite):
            caption = f"median {number(float(np.median(finite)))}, from {number(float(finite.min()))} to "
            charts.append((draw_histogram([values], name), caption + number(float(finite.max()))))
    if "var" in signals:
        x, y = signals["mean"], signals["var"]
        both = np.isfinite(x) & np.isfinite(y)
        if both.any():
            charts.append((draw_scatter(x[both], y[both], ("mean", "var"), series=1), "variance over mean"))
    return charts


def _to_thumbnail(tile: Tile) -> Thumbnail:
    return thumbnail_of(tile, *filter(None, (tile.numbers, tile.settings)))


def _draw_stages(audit: Mapping[str, Any]) -> Any:
    stages = sorted(audit["stages"].items(), key=lambda item: -item[1]["seconds"])
    return draw_bars([name for name, _ in stages], [stage["seconds"] for _, stage in stages], "seconds busy")


def _draw_slowest(audit: Mapping[str, Any]) -> Any:
    clips = audit.get("slowest_clips")
    if not clips:
        return None
    return draw_bars(
        [Path(clip["path"]).name for clip in clips], [clip["seconds"] for clip in clips], "seconds to decode"
    )


def _list_options(audit: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The options that differ from the defaults."""
    return [
        (flag_of(name), " ".join(map(str, value)) if isinstance(value, list) else "" if value is True else str(value))
        for name, value in audit["config"].items()
        if name in OPTIONS and value not in (OPTIONS[name].default, list(_as_tuple(OPTIONS[name].default)))
    ]


def _as_tuple(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)


def _argv_of(audit: Mapping[str, Any]) -> list[str]:
    return list(audit.get("run_provenance", {}).get("argv", [])[1:])


def _list_provenance(audit: Mapping[str, Any]) -> list[tuple[str, str]]:
    model, machine = audit["model"], audit["machine"]
    lines = [
        ("model", f"{model['id']}, {'verified' if model['verified'] else 'not verified'}"),
        ("its sha256", model["sha256"]),
        (
            "ran on",
            f"{machine['provider']}, {machine['threads']} threads, {machine['decode_workers']} decoding processes",
        ),
        ("machine", f"{machine['platform']}, {machine['cores']} cores"),
        ("versions", ", ".join(f"{name} {version}" for name, version in audit["versions"].items())),
    ]
    provenance = audit.get("run_provenance", {})
    for kind in ("inputs", "outputs"):
        for name, file in provenance.get(kind, {}).items():
            lines.append(
                (name, f"{file['path']} sha256 {file['sha256']}" if "sha256" in file else str(file.get("path")))
            )
    return lines
