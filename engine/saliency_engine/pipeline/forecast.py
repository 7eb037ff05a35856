"""What an engine would have to do for a table, and how long that takes, before it is done."""

from __future__ import annotations

import random
import time
from collections import deque
from typing import Any

from saliency_engine.errors import ClipError
from saliency_engine.pipeline.engine import Engine
from saliency_engine.pipeline.task import Task
from saliency_engine.types import ClipReference, RowBatch, row_batch_of

_MOST_TIMED = 8
_ALL_TABLES = -1
"""Stands for all tasks of an engine where tasks are told apart: their own numbers are 0 and above."""


class Forecast:
    """The clips that an engine's tables would have it compute. Distinct clips are remembered on disk."""

    def __init__(self, engine: Engine) -> None:
        self._engine, self._random = engine, random.Random(0)
        self.clips = 0
        """Distinct clips of all tables."""
        self.new = 0
        """Those that the memo does not know."""
        self._sample: list[tuple[Task, ClipReference]] = []

    def add(self, task: Task, batch: RowBatch[Any]) -> tuple[int, int, dict[int, str]]:
        """Look the clips of ``batch`` up: how many this task had not had yet, how many of these the memo knows, and
        why clips cannot be found, by their index.
        """
        memo, missing = task.runner.memo, dict[int, str]()
        clips = known = 0
        for index, clip in enumerate(batch.clips):
            try:
                key = memo.key(task.locator.locate(clip))
            except ClipError as error:
                missing[index] = str(error)
                continue
            outcome = memo.get(key)
            is_known = outcome is not None and not task.missing_of(outcome)
            if memo.first_seen(task.number, key):
                clips += 1
                known += is_known
            if memo.first_seen(_ALL_TABLES, key):
                self.clips += 1
                if not is_known:
                    self._add_new(task, clip)
        return clips, known, missing

    def seconds(self) -> float:
        """How long the new clips will take: a few of them, chosen by chance, are computed for that."""
        timed = self._sample[: max(1, self.new // 10)]
        if not timed:
            return 0.0
        started = time.perf_counter()
        work = ((task, row_batch_of([clip])) for task, clip in timed)
        deque(self._engine.run_tasks(work, tasks=len(timed)), maxlen=0)
        return (time.perf_counter() - started) / len(timed) * self.new

    def _add_new(self, task: Task, clip: ClipReference) -> None:
        self.new += 1
        if len(self._sample) < _MOST_TIMED:
            self._sample.append((task, clip))
        elif (place := self._random.randrange(self.new)) < _MOST_TIMED:
            self._sample[place] = task, clip
