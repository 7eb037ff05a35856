"""One output of a run: what is written to it, and what became of its rows."""

from __future__ import annotations

from typing import Any

from saliency_engine.config import RunConfig, TableJob
from saliency_engine.pipeline.clock import Clock
from saliency_engine.pipeline.task import Task
from saliency_engine.report.audit import RunsOn, audit_of
from saliency_engine.report.failures import Failures
from saliency_engine.tables.join import Joiner, OutputColumns
from saliency_engine.tables.kept_rows import KeptRows
from saliency_engine.tables.output import Output
from saliency_engine.tables.rejects import Rejects
from saliency_engine.types import ClipResult, RowBatch


class Target:
    """Where the rows of ``task`` go: into ``output``, with ``columns``, under the options ``job`` and ``config``."""

    def __init__(self, job: TableJob, config: RunConfig, task: Task, columns: OutputColumns, output: Output) -> None:
        self.job, self.config, self.task, self.output = job, config, task, output
        self.kept, self.failures = KeptRows(task.tags, config), Failures()
        self._joiner = Joiner(columns, task.tags)

    def write(self, batch: RowBatch[Any], results: list[ClipResult], clock: Clock) -> None:
        """Write the rows of ``batch``. Raises ``InputError`` where rows of other settings stay beside them."""
        self.kept.check(results)
        self.failures.add(batch, results)
        with clock("join"):
            payload = self._joiner.join(batch, results)
        with clock("write"):
            self.output.write(payload)

    def audit(self, runs_on: RunsOn, clock: Clock, rejects: Rejects) -> dict[str, Any]:
        """The audit, when all rows are written; ``provenance_of`` is the rest of it."""
        counts = self.task.counts
        audit = audit_of(self.job, self.config, runs_on, counts=counts, clock=clock, rejected=rejects.count)
        parts = {"kept": self.kept.as_json(), "failures": self.failures.as_json()}
        return audit | parts | {"first_reject": rejects.first or None}
