"""What somebody asks of an engine: the numbers of one model, aggregator and alpha for the clips of one table."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from saliency_engine.errors import ClipError
from saliency_engine.extras import MEASURED
from saliency_engine.numerics.aggregate import summarize
from saliency_engine.numerics.extra_values import extra_values
from saliency_engine.pipeline.counts import Counts
from saliency_engine.pipeline.remarks import describe_lack
from saliency_engine.pipeline.runner import Runner
from saliency_engine.storage.locate import Locator
from saliency_engine.tags import Tags
from saliency_engine.types import SKIPPED, ClipReference, ClipResult, ClipStatistics, RowBatch, Status

_WRITTEN = -2
"""Stands for task 0 where clips are written, −3 for task 1, and so on."""


@dataclass(frozen=True, eq=False)
class Task:
    """Row batches of one task follow one another; those of several tasks may come in turns."""

    number: int
    """No other task of the engine has it."""
    runner: Runner
    locator: Locator
    aggregator: str
    alpha: float
    tags: Tags
    """What its rows are tagged with."""
    extra: tuple[str, ...] = ()
    """The groups of ``--extra`` that its rows get."""
    counts: Counts = field(default_factory=Counts)
    """What has happened to this task's rows and clips so far."""

    def result_of(self, outcome: ClipStatistics | ClipError, path: str) -> ClipResult:
        """What the rows of the clip at ``path`` get; ``path`` is empty where the clip was not found."""
        if isinstance(outcome, ClipError):
            reason = self.locator.mention(str(outcome), path)
            return ClipResult(Status(outcome.status), reason=reason, path=path)
        mean, var = summarize(outcome, self.aggregator, self.alpha)
        note = describe_lack(outcome, self.runner.spec, self.extra)
        remark = note and self.locator.mention(note, path)
        extras = extra_values(outcome, self.extra)
        frames = len(outcome.means)
        return ClipResult(Status.OK, mean, var, remark, frames=frames, statistics=outcome, extras=extras)

    def missing_of(self, outcome: ClipStatistics | ClipError | None) -> tuple[str, ...]:
        """The groups that the clip is to be decoded for, or decoded once more: those of which ``outcome`` says nothing.

        A clip that has failed is not decoded for them.
        """
        if isinstance(outcome, ClipError):
            return ()
        return tuple(group for group in MEASURED if group in self.extra and not (outcome and outcome.extras.has(group)))

    def count_computed(self, key: bytes, outcome: ClipStatistics | ClipError) -> None:
        """Count a clip that has been through decoder and model for this task, or has failed."""
        if not self.runner.memo.first_seen(self.number, key):
            return
        if isinstance(outcome, ClipError):
            self.counts.clips_failed += 1
        else:
            self.counts.add_computed(outcome)

    def count_known(self, key: bytes, outcome: ClipStatistics | ClipError) -> None:
        """Count a clip whose numbers, or whose failure, are known already."""
        if not self.runner.memo.first_seen(self.number, key):
            return
        if isinstance(outcome, ClipError):
            self.counts.clips_failed += 1
        elif self.runner.memo.claim_fresh(key):
            self.counts.add_computed(outcome)
        else:
            self.counts.add_reused(outcome)

    def first_written(self, clip: ClipReference) -> bool:
        """Whether this is the first call for a clip as rows name it; remembers it on disk, not in memory."""
        digest = hashlib.sha256(repr(clip).encode("utf-8", "surrogatepass")).digest()
        return self.runner.memo.first_seen(_WRITTEN - self.number, digest)


class OpenBatch:
    """A row batch under way for ``task``."""

    def __init__(self, task: Task, batch: RowBatch[Any]) -> None:
        clips = len(batch.clips)
        computed = batch.codes[batch.codes != SKIPPED]
        self.task, self.batch = task, batch
        self.results: list[ClipResult | None] = [None] * clips
        """One entry for each of ``batch.clips``."""
        self.missing = clips
        """How many of the results are still ``None``."""
        self.wanted = True
        """False once the caller has stopped early."""
        self._rows_per_clip = np.bincount(computed, minlength=clips).tolist()
        skipped = batch.rows - len(computed)
        task.counts.rows_read += batch.rows
        task.counts.rows += skipped
        task.counts.skipped_existing += skipped

    def settle(self, index: int, outcome: ClipStatistics | ClipError, path: str) -> None:
        """Note what became of the clip ``index``."""
        result = self.task.result_of(outcome, path)
        self.results[index] = result
        self.missing -= 1
        counts, rows = self.task.counts, self._rows_per_clip[index]
        counts.rows += rows
        if result.status is Status.OK:
            counts.ok += rows
        else:
            counts.failed += rows
