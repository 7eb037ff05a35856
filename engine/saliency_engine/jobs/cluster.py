"""``--on ray``: the memo is filled by a cluster before the run takes every number from it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from itertools import chain, islice
from typing import Any

from saliency_engine.config import RunConfig
from saliency_engine.errors import ClipError
from saliency_engine.pipeline.far_fill import FarFill
from saliency_engine.pipeline.far_work import WorkDone
from saliency_engine.pipeline.on_ray import ActorPool
from saliency_engine.pipeline.ray_cluster import choose_actors, connected, list_nodes, load_ray
from saliency_engine.pipeline.task import Task
from saliency_engine.report.cluster import cluster_of
from saliency_engine.report.failures import Failures
from saliency_engine.report.notes import note
from saliency_engine.report.progress import ProgressDisplay
from saliency_engine.table_job import TableJob
from saliency_engine.tables.input import Table
from saliency_engine.types import ClipReference, ClipResult, RowBatch, Status, row_batch_of

Work = Callable[[Table], Iterator[tuple[Task, RowBatch[Any]]]]


def fill_memo(
    job: TableJob,
    config: RunConfig,
    tasks: Sequence[Task],
    *,
    reading: AbstractContextManager[Table],
    work_of: Work,
    progress: ProgressDisplay,
) -> dict[str, Any]:
    """Have a cluster compute the clips that the memos of ``tasks`` lack, which are all those of one engine.

    ``reading`` opens the table, and ``work_of`` gives its batches with the tasks that they are for. Returns the
    cluster's part of the audit. Where no clip is lacking, no cluster is looked for. Raises ``ConfigError``, and what
    stops an actor with its node's name.
    """
    load_ray()
    fill, failures = FarFill(tasks), Failures()
    with ExitStack() as opened:
        table = opened.enter_context(reading)
        works = fill.plan(work_of(table))
        first = list(islice(works, 1))
        if first:
            ray = opened.enter_context(connected(job.ray_address))
            models = list({task.runner.model.sha256: task.runner.model for task in tasks}.values())
            pool = ActorPool(ray, choose_actors(job, list_nodes(ray)), models, config, note)
            opened.callback(pool.close)
            for done in pool.compute(chain(first, works)):
                if done:
                    fill.take(done)
                    _check_failures(job, failures, done, table.rows_total)
                progress.update_cluster(fill, pool.actors, table.fraction)
    return cluster_of(fill.states.values())


def _check_failures(job: TableJob, failures: Failures, done: WorkDone, rows: int | None) -> None:
    """Raise ``InputError`` as soon as so many clips have failed that --max-failures is passed with a row for each."""
    for one in done.computed:
        if isinstance(one.outcome, ClipError):
            path = one.request.path
            result = ClipResult(Status(one.outcome.status), reason=str(one.outcome), path=path)
            failures.add(row_batch_of([ClipReference(path)]), [result])
    failures.check(job.max_failures, rows, 0)
