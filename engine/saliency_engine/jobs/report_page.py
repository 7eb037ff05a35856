"""One page about a table that has been run: what became of its rows, how their numbers lie, some of its clips."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from saliency_engine.config import RunConfig
from saliency_engine.errors import InputError
from saliency_engine.jobs.audits import find_audit, read_audit
from saliency_engine.jobs.signal_values import check_clips, read_signal
from saliency_engine.jobs.thumbnails import draw_rows
from saliency_engine.machine import require_analysis
from saliency_engine.report.failures import shorten_reason
from saliency_engine.report.run_page import Failure, RunReport, Setting, draw_report
from saliency_engine.storage.atomic import check_output, write_together
from saliency_engine.storage.overwrite import Files
from saliency_engine.tables.prefixes import find_prefixes
from saliency_engine.tables.whole import Whole, read_whole
from saliency_engine.tags import TAG_ROLES, sampling_alone
from saliency_engine.types import Status

Numbers = NDArray[np.float64]
_DONE = {str(Status.OK), str(Status.SKIPPED_EXISTING)}
_NO_STATUS = "without a status"


@dataclass(frozen=True, kw_only=True)
class ReportJob:
    """Which table the page is about, and where that goes."""

    table: str
    html: str = ""
    """The page; empty: the table's path with ``.html`` behind it."""
    audit: str = ""
    """The run's audit; empty: the one beside the table that names it."""
    clips: int = 8
    """So many clips are drawn, from the lowest mean to the highest."""
    run_options: Mapping[str, Any] = field(default_factory=dict)
    """Options of ``RunConfig`` that were given: the columns' names, and where the clips are."""


def report_run(job: ReportJob) -> Path:
    """Write the page; returns its path. Raises ``SaliencyError``, also where the page would overwrite the table."""
    require_analysis("report")
    check_clips(job.clips)
    page = Path(job.html or f"{job.table}.html")
    files = Files()
    files.reads("the table", job.table)
    files.reads("--audit", job.audit)
    files.writes("--html", page, holds=".html")
    check_output(str(page))
    audit = read_audit(Path(job.audit)) if job.audit else find_audit(Path(job.table))
    names = RunConfig(**job.run_options).output_columns
    table = read_whole(job.table)
    if names["mean"] not in table.names:
        prefixes = find_prefixes(table.names)
        has = f"--prefix {' or '.join(prefixes)}" if prefixes else ", ".join(map(repr, table.names))
        raise InputError(
            f"{job.table}: there is no column {names['mean']!r}; --prefix names the columns of another run. It has "
            f"{has}"
        )
    signals = {
        name.removeprefix(names["mean"].removesuffix("mean")): read_signal(
            table, name, is_share=name in {names["mean"], names["var"]}
        )
        for name in _signals_of(table, names)
    }
    report = RunReport(
        table=job.table,
        rows=table.rows,
        statuses=_count_statuses(table, names),
        failures=_group_failures(table, names),
        settings=_list_settings(table, names, np.isfinite(signals["mean"])),
        signals=signals,
        tiles=_draw_samples(job, signals["mean"]),
        audit=audit,
    )
    write_together({page: draw_report(report).encode("utf-8", "backslashreplace")})
    return page


def _signals_of(table: Whole, names: Mapping[str, str]) -> list[str]:
    """The columns of numbers, mean and variance first."""
    first = [names[role] for role in ("mean", "var") if names[role] in table.names]
    prefix = names["mean"].removesuffix("mean")
    own = [name for name in table.names if prefix and name.startswith(prefix) and name not in names.values()]
    return first + [name for name in own if table.holds_numbers(name)]


def _texts(table: Whole, name: str) -> NDArray[np.object_]:
    return table.texts(name) if name in table.names else np.full(table.rows, None, object)


def _count_statuses(table: Whole, names: Mapping[str, str]) -> dict[str, int]:
    counts = Counter(status or _NO_STATUS for status in _texts(table, names["status"]))
    return dict(sorted(counts.items(), key=lambda item: (item[0] not in _DONE, -item[1])))


def _group_failures(table: Whole, names: Mapping[str, str]) -> list[Failure]:
    """Failed rows by status and reason, in which paths and numbers do not count; the most frequent first."""
    statuses, reasons = _texts(table, names["status"]), _texts(table, names["error"])
    failed = [row for row, status in enumerate(statuses) if status not in {None, *_DONE}]
    groups: dict[tuple[str, str], list[int]] = {}
    for row in failed:
        groups.setdefault((statuses[row], shorten_reason(reasons[row] or "")), []).append(row)
    ordered = sorted(groups.items(), key=lambda item: -len(item[1]))
    return [Failure(status, reasons[rows[0]] or "", len(rows)) for (status, _), rows in ordered]


def _list_settings(table: Whole, names: Mapping[str, str], computed: NDArray[np.bool_]) -> list[Setting]:
    columns = [_texts(table, names[role])[computed] for role in TAG_ROLES]
    counts = Counter((*others, sampling_alone(sampling)) for *others, sampling in zip(*columns, strict=True))
    return [
        Setting(model or "", aggregator or "", alpha or "", sampling or "", rows)
        for (model, aggregator, alpha, sampling), rows in counts.most_common()
    ]


def _draw_samples(job: ReportJob, means: Numbers) -> list[Any]:
    """Tiles of clips that are spread evenly from the lowest mean to the highest."""
    if not job.clips:
        return []
    known = np.flatnonzero(np.isfinite(means))
    if not len(known):
        return []
    known = known[np.unique(means[known], return_index=True)[1]]  # rows of one clip have one mean
    chosen: Sequence[int] = known[np.unique(np.linspace(0, len(known) - 1, job.clips).round().astype(int))].tolist()
    tiles = draw_rows(job.table, chosen, job.run_options)
    return [tiles[row] for row in chosen if row in tiles]
