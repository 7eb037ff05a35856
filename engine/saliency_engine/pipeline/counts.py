"""What has happened in a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from saliency_engine.facts import Signal
from saliency_engine.types import ClipStatistics


@dataclass
class Counts:
    """What has happened so far."""

    rows_read: int = 0
    """Rows that came in."""
    rows: int = 0
    """Rows that have their result: the sum of the next three."""
    ok: int = 0
    skipped_existing: int = 0
    failed: int = 0
    clips_computed: int = 0
    """Distinct clips that went through decoder and model."""
    clips_reused: int = 0
    """Distinct clips whose numbers the memo had, from an earlier run or for another task of this one."""
    clips_failed: int = 0
    """Distinct clips that were decoded or modelled without success; not those that could not be located."""
    frames: int = 0
    """Frames of the clips that were computed."""
    model_runs: int = 0
    """Those of them for which the model has run: fewer with ``--reuse``, or where a map is that of the frame before."""
    signals: Counter[Signal | None] = field(default_factory=Counter)
    """The clips that were computed or reused, by what their code values are; ``None``: the memo does not say."""

    def add_computed(self, statistics: ClipStatistics) -> None:
        """Count one more clip that went through decoder and model."""
        self.clips_computed += 1
        self.frames += len(statistics.means)
        self.model_runs += statistics.model_runs
        self.signals[statistics.signal] += 1

    def add_reused(self, statistics: ClipStatistics) -> None:
        """Count one more clip whose numbers the memo had."""
        self.clips_reused += 1
        self.signals[statistics.signal] += 1


def together(tasks: Sequence[Counts]) -> Counts:
    """How far tasks are that take turns over the same rows: the rows that all of them are done with."""
    if len(tasks) == 1:
        return tasks[0]
    return Counts(
        rows_read=max(counts.rows_read for counts in tasks),
        rows=min(counts.rows for counts in tasks),
        failed=max(counts.failed for counts in tasks),
        clips_computed=sum(counts.clips_computed for counts in tasks),
        clips_reused=max(counts.clips_reused for counts in tasks),
        clips_failed=max(counts.clips_failed for counts in tasks),
        frames=sum(counts.frames for counts in tasks),
        signals=max((counts.signals for counts in tasks), key=Counter.total),
    )
