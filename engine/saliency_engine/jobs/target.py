"""One output of a run, or one point's part of it: what is written, and what became of its rows."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from saliency_engine.config import RunConfig
from saliency_engine.pipeline.clock import Clock
from saliency_engine.pipeline.counts import together
from saliency_engine.pipeline.task import Task
from saliency_engine.report.audit import RunsOn, audit_of
from saliency_engine.report.failures import Failures
from saliency_engine.table_job import TableJob
from saliency_engine.tables.join import Joiner, OutputColumns
from saliency_engine.tables.kept_rows import KeptRows
from saliency_engine.tables.output import Output
from saliency_engine.tables.rejects import Rejects
from saliency_engine.types import SKIPPED, ClipResult, RowBatch, Status


class Target:
    """Where the rows of ``task`` go, with ``columns``, under the options ``job`` and ``config``: into ``output``.

    In a table with columns for several points there is a target for each. Each adds its columns to what ``previous``
    has joined, and the last one writes the rows.
    """

    def __init__(  # noqa: PLR0917
        self,
        job: TableJob,
        config: RunConfig,
        task: Task,
        columns: OutputColumns,
        output: Output | None,
        previous: Target | None = None,
        *,
        is_last: bool = True,
    ) -> None:
        self.is_last = is_last
        """Whether it is the last of the points that share an output, or a shard."""
        self.job, self.config, self.task, self.output = job, config, task, output
        self.kept, self.failures = KeptRows(task.tags, config), Failures()
        self._previous = previous
        self._joiner = Joiner(columns, task.tags)
        self._payload: Any = None
        self._failed = self._skipped = np.empty(0, bool)  # of the latest rows
        self._summary = np.zeros(3, np.int64)  # total, skipped, failed

    @property
    def parts(self) -> list[Target]:
        """The targets of the table's points so far, this one last."""
        # Not kept: a list that it is in itself would keep the model in memory until Python looks for such rings.
        return [*(self._previous.parts if self._previous else ()), self]

    def write(self, batch: RowBatch[Any], results: Sequence[ClipResult], clock: Clock) -> None:
        """Write the rows of ``batch``; those of a shard are only noted.

        Raises ``InputError`` where rows of other settings stay beside them.
        """
        self.kept.check(results)
        self.failures.add(batch, results)
        self._note_rows(batch.codes, results)
        if self.job.shard:
            return
        if self._previous:
            batch = dataclasses.replace(batch, payload=self._previous._payload)
        with clock("join"):
            self._payload = self._joiner.join(batch, results)
        if self.output:
            with clock("write"):
                self.output.write(self._payload)

    def _note_rows(self, codes: NDArray[np.int32], results: Sequence[ClipResult]) -> None:
        """A row has failed where it failed for one point, and is skipped where it is for all of them."""
        states = np.array([result.status is not Status.OK for result in results] + [False])  # the last: SKIPPED is −1
        self._failed, self._skipped = states[codes], codes == SKIPPED
        if self._previous:
            self._failed = self._failed | self._previous._failed
            self._skipped = self._skipped & self._previous._skipped
        self._summary += (len(codes), self._skipped.sum(), self._failed.sum())

    def audit(self, runs_on: RunsOn, clock: Clock, rejects: Rejects) -> dict[str, Any]:
        """The audit, when all rows are written; ``provenance_of`` is the rest of it."""
        counts = together([part.task.counts for part in self.parts])
        audit = audit_of(self.job, self.config, runs_on, counts=counts, clock=clock, rejects=rejects)
        total, skipped, failed = self._summary.tolist()
        audit["summary"] |= {
            "total": total + rejects.count,
            "ok": total - skipped - failed,
            "skipped_existing": skipped,
            "failed": failed + rejects.count,
        }
        if len(self.parts) > 1:
            audit["points"] = [part._describe() for part in self.parts]
        worst = max(self.parts, key=lambda part: part.failures.rows)
        kept = max(self.parts, key=lambda part: part.kept.others.total())
        parts = {"kept": kept.kept.as_json(), "failures": worst.failures.as_json()}
        return audit | parts | {"first_reject": rejects.first or None}

    def _describe(self) -> dict[str, Any]:
        """A point's part of the audit of a table that has several."""
        counts = self.task.counts
        rows = {"ok": counts.ok, "skipped_existing": counts.skipped_existing, "failed": counts.failed}
        return {"prefix": self.config.prefix, **dataclasses.asdict(self.task.tags), "summary": rows}
