"""A table through an engine: read, compute, join, write, audit; once, or for each point of a sweep."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from typing import Any

from saliency_engine.config import RunConfig
from saliency_engine.jobs.job_input import open_input
from saliency_engine.jobs.maps import map_folders
from saliency_engine.jobs.series import Series
from saliency_engine.jobs.target import Target
from saliency_engine.models.load import Model
from saliency_engine.pipeline.counts import Counts, together
from saliency_engine.pipeline.engine import Engine
from saliency_engine.pipeline.task import Task
from saliency_engine.report.audit import RunsOn, provenance_of
from saliency_engine.report.missing import hint_at_paths
from saliency_engine.report.notes import note, warn_of_hdr, warn_of_no_rows, warn_of_options
from saliency_engine.report.progress import ProgressDisplay
from saliency_engine.report.summary import print_last_line, print_outputs, print_summary
from saliency_engine.storage.atomic import check_output, write_json
from saliency_engine.storage.locate import Locator
from saliency_engine.storage.overwrite import Files
from saliency_engine.table_job import TableJob
from saliency_engine.tables.columns import Columns, columns_of
from saliency_engine.tables.input import Table
from saliency_engine.tables.join import OutputColumns
from saliency_engine.tables.jsonl_lines import ignore_line
from saliency_engine.tables.output import Output, choose_format, open_output
from saliency_engine.tables.rejects import Rejects
from saliency_engine.tables.share import Share
from saliency_engine.types import RowBatch

Start = Callable[[], AbstractContextManager[Engine]]


@dataclass(frozen=True)
class Point:
    """One model, aggregator and alpha of a run. Points of one output have columns of their own in it."""

    job: TableJob
    config: RunConfig
    model: Model | None = None
    """``None``: the first of the engine's."""


def process_table(
    points: Sequence[Point], files: Files, start: Start, names: Mapping[str, str] | None = None
) -> list[dict[str, Any]]:
    """Process the table of all ``points`` with the engine that ``start`` gives when input and outputs are sound.

    ``files`` has what the table reads and writes. Returns the audit of each output (see ``audit_of``), which is also
    written where its job says so; ``names`` are put into it before all else. Raises as ``run_table`` does.
    """
    job, config = points[0].job, points[0].config
    # An alpha is of use where one of the points is ema.
    warn_of_options(max((point.config for point in points), key=lambda config: config.temporal_aggregator == "ema"))
    rejects = Rejects(job.rejects_path)
    union, views = _columns_to_read(points)
    with open_input(job, union, config, rejects.add, views) as table, ExitStack() as opened:
        files.reads("--input", *table.parts)
        places = list(_open_outputs(points, table, opened))
        opened.enter_context(rejects.opened())
        series = Series(job.series)
        opened.enter_context(series.opened())
        engine = opened.enter_context(start())
        locator = Locator(config, files, note)
        targets: list[Target] = []
        for point, (columns, output) in zip(points, places, strict=True):
            task = engine.new_task(point.config, locator, point.model)
            previous = targets[-1] if views and targets else None
            is_last = bool(output) or point is points[-1]
            targets.append(Target(point.job, point.config, task, columns, output, previous, is_last=is_last))
        opened.enter_context(engine.writing(map_folders(targets)))
        again = open_input(job, union, config, ignore_line, views) if job.on == "ray" else None
        audits = _process_rows(targets, engine, table, rejects, series, again=again, in_turns=bool(views))
    audits = [{**audit, **(names or {})} for audit in audits]
    _write_audits(targets, audits, table.sha256)
    _print_end(job, config, together([target.task.counts for target in targets]), audits)
    return audits


def _columns_to_read(points: Sequence[Point]) -> tuple[Columns, list[Columns]]:
    """The columns that reading looks at, and those of each point where they share one output."""
    views = [columns_of(point.config) for point in points]
    if len({point.job.output for point in points}) == len(points):
        return views[0], []
    written = {name: kinds for view in views for name, kinds in view.written.items()}
    roles = {name: role for view in views for name, role in view.roles.items()}
    return dataclasses.replace(views[0], written=written, roles=roles), views


def _open_outputs(
    points: Sequence[Point], table: Table, opened: ExitStack
) -> Iterator[tuple[OutputColumns, Output | None]]:
    """The columns of each point, and its output; of points that share one only the last has it."""
    schema = table.schema
    for point, following in itertools.zip_longest(points, points[1:]):
        job = point.job
        columns = OutputColumns(point.config, schema)
        if following and following.job.output == job.output:
            schema = columns.schema
            yield columns, None
            continue
        check_output(job.audit_json)
        if job.shard:
            yield columns, None
            continue
        output_format = choose_format(job.output, job.output_format, table.format)
        yield columns, opened.enter_context(open_output(job.output, output_format, columns.schema))


def _process_rows(
    targets: Sequence[Target],
    engine: Engine,
    table: Table,
    rejects: Rejects,
    series: Series,
    *,
    again: AbstractContextManager[Table] | None,
    in_turns: bool,
) -> list[dict[str, Any]]:
    """Compute the rows of ``table``, write and commit them; gives the audit of each output.

    ``again`` opens the table for a cluster, which then computes the clips before.
    """
    job, by_task = targets[0].job, {target.task.number: target for target in targets}
    series.watch([target.task for target in targets])
    models = {target.task.runner.model.sha256: _runs_on(engine, target.task) for target in targets}
    counts = [target.task.counts for target in targets]
    read = Share(table, job.shard, targets[0].config.root) if job.shard else table
    parts: dict[str, Any] = {}
    with ProgressDisplay(list(models.values()), counts, "off" if job.quiet else job.progress) as progress:
        if again:
            parts["cluster"] = _fill_on_cluster(targets, again, progress, in_turns=in_turns)
        work = _work_of(targets, read, in_turns=in_turns)
        rows = engine.run_tasks(work, lambda: progress.update(read, rejects.count), len(targets))
        for task, batch, results in rows:
            target = by_task[task.number]
            target.write(batch, results, engine.clock)
            series.add(task, batch, results)
            target.failures.check(job.max_failures, read.rows_total, rejects.count)
    for target in targets:
        rows_read = target.task.counts.rows_read + rejects.count
        target.failures.check(job.max_failures, rows_read, rejects.count)
    with engine.clock("write"):
        _commit(targets, table, rejects, series)
    last = [target for target in targets if target.is_last]
    return [target.audit(_runs_on(engine, target.task), engine.clock, rejects) | parts for target in last]


def _commit(targets: Sequence[Target], table: Table, rejects: Rejects, series: Series) -> None:
    rejects.commit()
    series.commit()
    for target in targets:
        if target.output:
            target.output.commit(table.count_rows() - rejects.count)


def _fill_on_cluster(
    targets: Sequence[Target], again: AbstractContextManager[Table], progress: ProgressDisplay, *, in_turns: bool
) -> dict[str, Any]:
    from saliency_engine.jobs.cluster import fill_memo  # noqa: PLC0415  which no other run needs

    tasks = [target.task for target in targets]
    job, config = targets[0].job, targets[0].config

    def work_of(table: Table) -> Iterator[tuple[Task, RowBatch[Any]]]:
        return _deal(tasks, table, in_turns=in_turns)

    return fill_memo(job, config, tasks, reading=again, work_of=work_of, progress=progress)


def _work_of(
    targets: Sequence[Target], table: Iterable[RowBatch[Any]], *, in_turns: bool
) -> Iterator[tuple[Task, RowBatch[Any]]]:
    """Each batch of ``table`` with the task that it is for: for all of them, unless they come in turns."""
    batches: Iterable[RowBatch[Any]] = table
    for turn, target in enumerate(targets):
        batches = target.kept.watch(batches, *((turn, len(targets)) if in_turns else ()))
    return _deal([target.task for target in targets], batches, in_turns=in_turns)


def _deal(
    tasks: Sequence[Task], batches: Iterable[RowBatch[Any]], *, in_turns: bool
) -> Iterator[tuple[Task, RowBatch[Any]]]:
    if in_turns:
        return zip(itertools.cycle(tasks), batches)
    return ((task, batch) for batch in batches for task in tasks)


def _runs_on(engine: Engine, task: Task) -> RunsOn:
    model, session = task.runner.model, task.runner.session
    return RunsOn(model, session.provider, session.remark, engine.threads, engine.decode_workers)


def _write_audits(targets: Sequence[Target], audits: Sequence[dict[str, Any]], input_sha256: str) -> None:
    for target, audit in zip((target for target in targets if target.is_last), audits, strict=True):
        if target.job.audit_json:
            # Only where it is wanted: hashing input and output took a quarter of the time of rows that need nothing.
            models = {part.task.runner.model.sha256: part.task.runner.model for part in target.parts}
            audit["run_provenance"] = provenance_of(
                target.job, target.config, list(models.values()), audit["rejects"], input_sha256
            )
            write_json(target.job.audit_json, audit)


def _print_end(job: TableJob, config: RunConfig, counts: Counts, audits: Sequence[dict[str, Any]]) -> None:
    warn_of_hdr(config, counts)
    if not job.shard:  # whose share may well have none
        warn_of_no_rows(job, audits[0]["summary"]["total"])
    if not job.quiet:
        print_summary(audits, verbose=job.verbose)
        print_outputs(audits[1:])
        if hint := hint_at_paths(audits[0]):
            note(hint)
    if not job.quiet or any(audit["summary"]["failed"] or audit["kept"]["other_settings"] for audit in audits):
        print_last_line(audits)
