"""The memo filled by engines on other machines: which clips it lacks, and what comes back of them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from saliency_engine import errors
from saliency_engine.errors import BugError, ClipError, WorkerError
from saliency_engine.pipeline.far_work import ClipWork, Computed, EngineState, Fault, Known, WorkDone
from saliency_engine.pipeline.memo import Memo
from saliency_engine.pipeline.runner import Runner
from saliency_engine.pipeline.task import Task
from saliency_engine.types import ClipRequest, ClipStatistics, RowBatch

_PLANNED = -1
"""Stands for a task's number where clips are planned: those of tasks are 0 and above."""


class FarFill:
    """Plans the work of ``tasks``, which are all those of one engine, and puts into their memos what comes of it.

    The run that follows takes every number, and every failure, from there; it counts them as computed.
    """

    def __init__(self, tasks: Sequence[Task]) -> None:
        self._runners = list({task.runner.model.sha256: task.runner for task in tasks}.values())
        self.states: dict[str, EngineState] = {}
        """How each of the engines is doing, by its name."""
        self.planned = 0
        """Clips that were to be computed so far."""
        self.done = 0
        """Those of them that have been computed, or have failed."""
        self.failed = 0

    def plan(self, work: Iterable[tuple[Task, RowBatch[Any]]]) -> Iterator[ClipWork]:
        """The distinct clips that a memo lacks. A clip that cannot be located is left to the run that follows."""
        for task, batch in work:
            task.locator.foresee(batch.clips)
            for clip in batch.clips:
                try:
                    request = task.locator.locate(clip)
                except ClipError:
                    continue
                if models := self._models_lacking(task, request):
                    self.planned += 1
                    yield ClipWork(request, self._runners[0].memo.key(request), models)

    def _models_lacking(self, task: Task, request: ClipRequest) -> tuple[Known, ...]:
        """What each model lacks of a clip; nothing where ``task`` lacks nothing, or the clip was planned before."""
        runner = task.runner
        key = runner.memo.key(request)
        outcome = runner.memo.get(key)
        missing = task.missing_of(outcome)
        if runner.feeder.fault or isinstance(outcome, ClipError) or (outcome and not missing):
            return ()
        if not runner.memo.first_seen(_PLANNED, key):
            return ()
        return tuple(
            Known(True, outcome) if other is runner else self._known(other, runner, replace(request, extra=missing))
            for other in self._runners
        )

    @staticmethod
    def _known(other: Runner, first: Runner, request: ClipRequest) -> Known:
        """What ``other`` has of a clip that is decoded for ``first``: models of one input size share its frames."""
        key = other.memo.key(request)
        statistics = other.memo.get(key)
        wanted = other.pool is first.pool and other.lacks(request, ()) and other.memo.first_seen(_PLANNED, key)
        return Known(wanted, statistics if isinstance(statistics, ClipStatistics) else None)

    def take(self, done: WorkDone) -> None:
        """Commit what an engine has sent. Raises what stopped it, with its node's name."""
        if done.state:
            self.states[done.state.actor] = done.state
        for model, runner in enumerate(self._runners):
            # One after another: several memos may be one file, where a second transaction would wait for the first.
            for one in done.computed:
                if one.model == model:
                    _remember(runner.memo, one)
            runner.memo.commit()
        outcomes = {one.request: isinstance(one.outcome, ClipError) for one in done.computed}
        self.done += len(outcomes)
        self.failed += sum(outcomes.values())
        if done.fault:
            raise _error_of(done.fault, done.node)
        _check_absent(done.absent, done.node)


def _remember(memo: Memo, one: Computed) -> None:
    key = memo.key(one.request)
    if isinstance(one.outcome, ClipError):
        memo.put_failure(key, one.outcome)
        return
    known = memo.get(key)
    if isinstance(known, ClipStatistics):
        memo.put(key, one.request, replace(one.outcome, extras=known.extras | one.outcome.extras))
    else:
        memo.put(key, one.request, one.outcome)
        memo.mark_fresh(key)


def _error_of(fault: Fault, node: str) -> Exception:
    error: Exception = getattr(errors, fault.kind, BugError)(f"node {node}: {fault.reason}")
    if fault.trace:
        error.add_note(fault.trace)
    return error


def _check_absent(absent: Sequence[ClipRequest], node: str) -> None:
    """Raise ``WorkerError`` where this machine has a clip that the node lacks. Another one is left to the run here."""
    for request in absent:
        try:
            file = Path(request.path).stat()
        except OSError:
            continue
        if (file.st_size, file.st_mtime_ns) == (request.size, request.mtime_ns):
            raise WorkerError(
                f"node {node} does not have the clip {os.path.realpath(request.path)}, or not as it is here: all nodes "
                "need the clips under the same paths, with the same sizes and times of change, as on a shared file "
                "system"
            )
