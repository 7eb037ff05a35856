"""A batch that is not run: what each table would need, what is wrong with it, and how long all of it would take."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Column
from rich.table import Table as Grid
from rich.text import Text

from saliency_engine.errors import SaliencyError
from saliency_engine.jobs.batch import BatchJob, SharedEngine, in_order_of_engines, prepare
from saliency_engine.jobs.job_input import open_input
from saliency_engine.jobs.manifest import Entry
from saliency_engine.pipeline.forecast import Forecast
from saliency_engine.report.progress import format_time
from saliency_engine.report.terminal import printable
from saliency_engine.storage.atomic import check_output
from saliency_engine.storage.locate import Locator
from saliency_engine.storage.overwrite import Files
from saliency_engine.tables.columns import columns_of
from saliency_engine.tables.join import OutputColumns
from saliency_engine.tables.kept_rows import KeptRows
from saliency_engine.tables.output import choose_format
from saliency_engine.types import SKIPPED, ClipResult, Status


@dataclass
class TablePlan:
    """What one table would need."""

    rows: int = 0
    kept: int = 0
    """Rows that keep the numbers they have."""
    lost: int = 0
    """Rows whose clip is not there, and lines that are no rows."""
    clips: int = 0
    """Distinct clips that are there."""
    known: int = 0
    """Those of them that the memo knows."""
    problem: str = ""
    """Why the table cannot be processed, or the first row would fail."""
    is_error: bool = False
    """Whether ``problem`` is that of the whole table."""


class _Rejects:
    """Counts the lines that are no rows."""

    def __init__(self) -> None:
        self.count, self.first = 0, ""

    def add(self, number: int, reason: str, _line: bytes, rest: Iterable[bytes] | None = None) -> None:
        self.count += 1
        self.first = self.first or f"line {number}: {reason}"
        deque(rest or (), maxlen=0)  # what is not read of a long line would be taken for the next one


def print_plan(job: BatchJob) -> bool:
    """Print on stdout what ``run_batch`` would do; gives whether it could end with the exit status 0.

    Raises as ``run_batch`` does. No table, report or memo is written; where there is a memo, it gets the few clips that
    are computed to see how long they take.
    """
    entries, files = prepare(job)
    plans: dict[str, TablePlan] = {}
    shared = SharedEngine(files)
    clips = new = 0
    seconds = 0.0
    try:
        order = list(in_order_of_engines([_without_new_memo(entry) for entry in entries]))
        forecast: Forecast | None = None
        for place, entry in enumerate(order):
            plans[entry.id], forecast = _plan_table(entry, files, shared, forecast)
            if forecast and (place + 1 == len(order) or not shared.serves(order[place + 1])):
                clips, new, seconds = clips + forecast.clips, new + forecast.new, seconds + forecast.seconds()
                forecast = None
    finally:
        shared.close()
    _print([(entry.id, plans[entry.id]) for entry in entries])
    print(f"{new} clips to compute, {clips - new} in the memo; expected time: {format_time(seconds)}")
    return not any(plan.is_error or (plan.lost and not job.allow_row_failures) for plan in plans.values())


def _without_new_memo(entry: Entry) -> Entry:
    """The same table, with the memo only where there is one already."""
    memo = entry.config.memo if Path(entry.config.memo).is_file() else "off"
    return dataclasses.replace(entry, config=dataclasses.replace(entry.config, memo=memo))


def _plan_table(
    entry: Entry, files: Files, shared: SharedEngine, forecast: Forecast | None
) -> tuple[TablePlan, Forecast | None]:
    job, config, plan = entry.job, entry.config, TablePlan()
    rejects = _Rejects()
    try:
        with open_input(job, columns_of(config), config, rejects.add) as table:
            OutputColumns(config, table.schema)
            choose_format(job.output, job.output_format, table.format)
            check_output(job.output)
            check_output(job.audit_json)
            with shared.start(entry) as engine:
                forecast = forecast or Forecast(engine)
                task = engine.new_task(config, Locator(config, files))
            kept = KeptRows(task.tags, config)
            for batch in kept.watch(table):
                clips, known, missing = forecast.add(task, batch)
                plan.rows += batch.rows
                plan.kept += int((batch.codes == SKIPPED).sum())
                plan.lost += int(np.isin(batch.codes, list(missing)).sum())
                plan.clips, plan.known = plan.clips + clips, plan.known + known
                plan.problem = plan.problem or next(iter(missing.values()), "")
            if plan.clips:
                kept.check([ClipResult(Status.OK)])  # as if one were computed: may the kept rows stand beside it?
    except SaliencyError as error:
        plan.problem, plan.is_error = f"{type(error).__name__}: {error}", True
    plan.rows, plan.lost = plan.rows + rejects.count, plan.lost + rejects.count
    plan.problem = plan.problem or rejects.first
    return plan, forecast


def _print(plans: Sequence[tuple[str, TablePlan]]) -> None:
    numbers = ("rows", "kept", "failing", "clips", "in the memo")
    grid = Grid("table", *(Column(name, justify="right") for name in numbers))
    for name, plan in plans:
        counts = (plan.rows, plan.kept, plan.lost, plan.clips, plan.known)
        grid.add_row(Text(printable(name)), *(["", "", "", "", ""] if plan.is_error else map(str, counts)))
    console = Console()
    console.print(grid)
    for name, plan in plans:
        if plan.problem:
            what = "cannot be processed" if plan.is_error else f"{plan.lost} of {plan.rows} rows would fail"
            print(printable(f"table {name!r}: {what}: {plan.problem}"))
