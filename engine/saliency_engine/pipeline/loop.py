"""The only module that knows every stage: rows → locate → decode → batch → infer → aggregate → results, in order.

One thread drives an event loop; decoding runs in worker processes, the models in the feeders' threads. Everything is
bounded: row batches under way by ``_OPEN_BATCHES``, decoded frames by the ring slots, maps by the clips in ring slots
and in frame batches.
"""

from __future__ import annotations

import itertools
import multiprocessing.connection
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from saliency_engine.config import RunConfig
from saliency_engine.errors import ClipError, InferenceError, WorkerError
from saliency_engine.extras import Measured
from saliency_engine.pipeline.clock import Clock
from saliency_engine.pipeline.detector import check_detector
from saliency_engine.pipeline.outcomes import DecodedInRing, NotDecoded
from saliency_engine.pipeline.pool import DecodePool
from saliency_engine.pipeline.runner import Runner
from saliency_engine.pipeline.task import OpenBatch, Task
from saliency_engine.pipeline.turns import Turns
from saliency_engine.storage.locate import Locator
from saliency_engine.tables.sampling_tag import tags_of
from saliency_engine.types import ClipRequest, ClipResult, ClipStatistics, PayloadT, RowBatch

# Row batches under way for each task, each of which holds its rows. More than one, because rows behind a slow clip
# wait for it here.
_OPEN_BATCHES = 4

_Place = tuple[OpenBatch, int]
"""Where a clip's result belongs: a batch, and the index into its ``results``."""


class Pipeline:
    """Computes the results of row batches. Owns nothing: the runners and what they hold are the engine's."""

    def __init__(self, runners: Sequence[Runner], clock: Clock) -> None:
        self._runners, self._clock = runners, clock
        self._pools = list({id(runner.pool): runner.pool for runner in runners}.values())
        self._process, self._turns = os.getpid(), Turns()
        self._numbers = itertools.count()
        self._todo: deque[_Place] = deque()
        self._waiting: dict[bytes, list[_Place]] = {}  # by memo key: the places that a clip under way will fill
        self._decoding: dict[tuple[int, ClipRequest], list[Runner]] = {}  # by pool: for whom a clip is being decoded

    def new_task(self, runner: Runner, config: RunConfig, locator: Locator) -> Task:
        """A task whose clips ``locator`` finds, and whose aggregator, alpha and extras ``config`` names.

        Raises ``ConfigError`` where what detects shots is not installed.
        """
        check_detector(config)
        tags = tags_of(config, runner.model.model_id, runner.spec.width, runner.spec.height)
        aggregator, alpha = config.temporal_aggregator, config.ema_alpha
        return Task(next(self._numbers), runner, locator, aggregator, alpha, tags, tuple(config.extra))

    def process(
        self, work: Iterable[tuple[Task, RowBatch[PayloadT]]], tick: Callable[[], None], tasks: int = 1
    ) -> Iterator[tuple[Task, RowBatch[PayloadT], list[ClipResult]]]:
        """Yield every batch with its task, in order, and one result per entry of its ``clips``.

        ``tick`` is called whenever something has happened. The batches are of so many ``tasks``, which take turns.
        """
        incoming = iter(work)
        exhausted = False
        most = _OPEN_BATCHES * tasks
        under_way: deque[OpenBatch] = deque()
        try:
            while under_way or not exhausted:
                with self._turn():
                    while not exhausted and self._has_room(under_way, most) and not _is_first_done(under_way):
                        with self._clock("read"):
                            item = next(incoming, None)
                        if item is None:
                            exhausted = True
                        else:
                            under_way.append(self._open(*item))
                    self._advance()
                    tick()
                while _is_first_done(under_way):
                    done = under_way.popleft()
                    yield done.task, done.batch, [result for result in done.results if result is not None]
                with self._turn():
                    can_read = not exhausted and self._has_room(under_way, most)
                    if not can_read and any(runner.pool.busy or runner.feeder.busy for runner in self._runners):
                        self._wait()
        finally:
            for opened in under_way:  # a caller may stop early; clips under way still reach the memo
                opened.wanted = False

    @property
    def inherited(self) -> bool:
        """This process was forked from the one that the pipeline works for."""
        return os.getpid() != self._process

    def check_owner(self) -> None:
        """Raise ``WorkerError`` in a forked process."""
        if self.inherited:
            raise WorkerError("this Engine belongs to the process that it was made in: make one in each process")

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """What one thread does while others wait. Raises ``WorkerError`` in a forked process."""
        self.check_owner()
        with self._turns:
            yield

    # rows

    def _has_room(self, under_way: deque[OpenBatch], most: int) -> bool:
        return not self._todo and len(under_way) < most

    def _open(self, task: Task, batch: RowBatch[PayloadT]) -> OpenBatch:
        opened = OpenBatch(task, batch)
        task.locator.foresee(batch.clips)
        self._todo.extend((opened, index) for index in range(opened.missing))
        return opened

    # clips

    def _advance(self) -> None:
        """Do everything that can be done without waiting."""
        while self._todo and self._todo[0][0].task.runner.pool.ready:
            with self._clock("locate"):
                self._take_up(*self._todo.popleft())
        for runner in self._runners:
            runner.feeder.feed()

    def _take_up(self, opened: OpenBatch, index: int) -> None:
        """Locate a clip; have its result from the memo, wait for it where it is under way, or begin to decode it."""
        if not opened.wanted:
            return
        task, runner = opened.task, opened.task.runner
        request: ClipRequest | None = None
        try:
            request = task.locator.locate(opened.batch.clips[index])
            if runner.feeder.fault:
                raise InferenceError(runner.feeder.fault)
        except ClipError as error:
            opened.settle(index, error, request.path if request else "")
            return
        key = runner.memo.key(request)
        if key in self._waiting:
            self._waiting[key].append((opened, index))
            return
        outcome = runner.known(request)
        missing = task.missing_of(runner.memo.get(key) if outcome is None else outcome)
        if outcome is not None and not missing:
            task.count_known(key, outcome)
            opened.settle(index, outcome, request.path)
        else:
            self._decode(replace(request, extra=missing), runner)
            self._waiting[key].append((opened, index))

    def _decode(self, request: ClipRequest, first: Runner) -> None:
        """Begin to decode a clip for ``first`` and all other models of its input size that lack the clip's numbers."""
        pool = first.pool
        others = [runner for runner in self._runners if runner.pool is pool and runner is not first]
        waiting = self._waiting.keys()
        runners = [first, *(other for other in others if other.lacks(request, waiting))]
        for runner in runners:
            self._waiting[runner.memo.key(request)] = []
            runner.feeder.warm()
        self._decoding[id(pool), request] = runners
        pool.submit(request)

    def _wait(self) -> None:
        connections = [connection for pool in self._pools for connection in pool.connections]
        patience = min((pool.patience for pool in self._pools if pool.patience is not None), default=None)
        multiprocessing.connection.wait([*connections, *(r.feeder.connection for r in self._runners)], patience)
        for pool in self._pools:
            self._collect_decoded(pool)
        for runner in self._runners:
            self._collect_measured(runner)

    def _collect_decoded(self, pool: DecodePool) -> None:
        for clip in pool.collect():
            runners = self._decoding.pop((id(pool), clip.request))
            match clip:
                case NotDecoded(request, error):
                    for runner in runners:
                        lacks = Measured(lacks=dict.fromkeys(request.extra, str(error)))
                        if not self._complete(runner, request, lacks):
                            self._finish(runner, request, error)
                case DecodedInRing(decoded=decoded, ring_slot=ring_slot):
                    self._clock.add_clip(decoded.seconds, clip.request.path)
                    pool.share(ring_slot, len(runners))
                    for runner in runners:
                        if self._complete(runner, clip.request, decoded.extras):
                            pool.release(ring_slot)
                        else:
                            runner.feeder.add(clip)

    def _collect_measured(self, runner: Runner) -> None:
        for measured in runner.feeder.collect():
            try:
                for request, outcome in measured:
                    self._finish(runner, request, outcome)
            finally:  # Ctrl-C may come at any moment; what is finished is kept all the same
                with self._clock("memo"):
                    runner.memo.commit()

    def _complete(self, runner: Runner, request: ClipRequest, extras: Measured) -> bool:
        """Finish a clip of which only ``extras`` were missing. False where the model must run, too."""
        known = runner.known(request) if request.extra else None
        if not isinstance(known, ClipStatistics):
            return False
        self._finish(runner, request, replace(known, extras=known.extras | extras), is_new=False)
        with self._clock("memo"):
            runner.memo.commit()
        return True

    def _finish(
        self, runner: Runner, request: ClipRequest, outcome: ClipStatistics | ClipError, *, is_new: bool = True
    ) -> None:
        """Remember what became of a clip, and settle all places that wait for it. ``is_new``: the model has run."""
        memo = runner.memo
        key = memo.key(request)
        places = self._waiting.pop(key)
        if isinstance(outcome, ClipError):
            memo.put_failure(key, outcome)
        else:
            if is_new and isinstance(known := memo.get(key), ClipStatistics):  # the model ran for maps alone
                outcome = replace(outcome, extras=known.extras | outcome.extras)
            memo.put(key, request, outcome)
            if not places and is_new:
                memo.mark_fresh(key)
        for place, (opened, index) in enumerate(places):
            if opened.task.missing_of(outcome):  # it came while the clip was decoded for somebody who wanted less
                self._todo.append((opened, index))
                continue
            count = opened.task.count_known if place or not is_new else opened.task.count_computed
            count(key, outcome)
            opened.settle(index, outcome, request.path)


def _is_first_done(under_way: deque[OpenBatch]) -> bool:
    return bool(under_way) and not under_way[0].missing
