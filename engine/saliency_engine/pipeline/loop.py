"""The only module that knows every stage: rows → locate → decode → batch → infer → aggregate → results, in order.

One thread drives an event loop; decoding runs in worker processes, the model in the feeder's threads. Everything is
bounded: row batches under way by ``_OPEN_BATCHES``, decoded frames by the ring slots, maps by the clips in ring slots
and in frame batches.
"""

from __future__ import annotations

import multiprocessing.connection
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from saliency_engine.errors import ClipError, InferenceError, WorkerError
from saliency_engine.numerics.aggregate import summarize
from saliency_engine.pipeline.clock import Clock
from saliency_engine.pipeline.counts import Counts
from saliency_engine.pipeline.feeder import Feeder
from saliency_engine.pipeline.memo import Memo
from saliency_engine.pipeline.outcomes import DecodedInRing, NotDecoded
from saliency_engine.pipeline.pool import DecodePool
from saliency_engine.storage.locate import Locator
from saliency_engine.types import (
    SKIPPED,
    ClipRequest,
    ClipResult,
    ClipStatistics,
    DecodeSpec,
    PayloadT,
    RowBatch,
    Status,
)

# Row batches under way, each of which holds its rows. More than one, because rows behind a slow clip wait for it here.
_OPEN_BATCHES = 4


@dataclass
class _OpenBatch:
    """A row batch under way. The lists have one entry for each of ``batch.clips``."""

    batch: RowBatch[Any]
    rows_per_clip: list[int]
    results: list[ClipResult | None]
    missing: int
    """How many of the results are still ``None``."""
    wanted: bool = True
    """False once the caller has stopped early."""


_Place = tuple[_OpenBatch, int]
"""Where a clip's result belongs: a batch, and the index into its ``results``."""


class Pipeline:
    """Computes the results of row batches. Owns nothing: pool, feeder and memo are the engine's."""

    def __init__(
        self,
        *,
        locator: Locator,
        pool: DecodePool,
        feeder: Feeder,
        memo: Memo,
        aggregator: str,
        alpha: float,
        spec: DecodeSpec,
        clock: Clock,
    ) -> None:
        self._locator, self._pool, self._feeder, self._memo = locator, pool, feeder, memo
        self._aggregator, self._alpha, self._spec = aggregator, alpha, spec
        self._clock = clock
        self.counts = Counts()
        self._process, self._lock = os.getpid(), threading.RLock()
        self._todo: deque[_Place] = deque()
        self._waiting: dict[bytes, list[_Place]] = {}  # by memo key: the places that a clip under way will fill

    def process(
        self, batches: Iterable[RowBatch[PayloadT]], tick: Callable[[], None]
    ) -> Iterator[tuple[RowBatch[PayloadT], list[ClipResult]]]:
        """Yield every batch, in order, with one result per entry of its ``clips``.

        ``tick`` is called whenever something has happened.
        """
        incoming = iter(batches)
        exhausted = False
        under_way: deque[_OpenBatch] = deque()
        try:
            while under_way or not exhausted:
                with self._turn():
                    while not exhausted and self._has_room(under_way) and not _is_first_done(under_way):
                        with self._clock("read"):
                            batch = next(incoming, None)
                        if batch is None:
                            exhausted = True
                        else:
                            under_way.append(self._open(batch))
                    self._advance()
                    tick()
                while _is_first_done(under_way):
                    done = under_way.popleft()
                    yield done.batch, [result for result in done.results if result is not None]
                with self._turn():
                    can_read = not exhausted and self._has_room(under_way)
                    if not can_read and (self._pool.busy or self._feeder.busy):
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
        with self._lock:
            yield

    # rows

    def _has_room(self, under_way: deque[_OpenBatch]) -> bool:
        return not self._todo and len(under_way) < _OPEN_BATCHES

    def _open(self, batch: RowBatch[PayloadT]) -> _OpenBatch:
        clips = len(batch.clips)
        computed = batch.codes[batch.codes != SKIPPED]
        skipped = batch.rows - len(computed)
        self.counts.rows_read += batch.rows
        self.counts.rows += skipped
        self.counts.skipped_existing += skipped
        opened = _OpenBatch(batch, np.bincount(computed, minlength=clips).tolist(), [None] * clips, clips)
        self._todo.extend((opened, index) for index in range(clips))
        return opened

    def _settle(self, places: list[_Place], result: ClipResult) -> None:
        for opened, index in places:
            opened.results[index] = result
            opened.missing -= 1
            rows = opened.rows_per_clip[index]
            self.counts.rows += rows
            if result.status is Status.OK:
                self.counts.ok += rows
            else:
                self.counts.failed += rows

    # clips

    def _advance(self) -> None:
        """Do everything that can be done without waiting."""
        while self._todo and self._pool.ready:
            with self._clock("locate"):
                self._take_up(self._todo.popleft())
        self._feeder.feed()

    def _take_up(self, place: _Place) -> None:
        """Locate a clip; have its result from the memo, wait for it where it is under way, or begin to decode it."""
        opened, index = place
        if not opened.wanted:
            return
        request: ClipRequest | None = None
        try:
            request = self._locator.locate(opened.batch.clips[index])
            if self._feeder.fault:
                raise InferenceError(self._feeder.fault)
        except ClipError as error:
            self._settle([place], self._fail(error, request.path if request else ""))
            return
        key = self._memo.key(request)
        if key in self._waiting:
            self._waiting[key].append(place)
            return
        match self._memo.get(key):
            case None:
                self._waiting[key] = [place]
                self._pool.submit(request)
                self._feeder.warm()
            case ClipStatistics() as statistics:
                if self._memo.first_seen(key):
                    self.counts.add_reused(statistics.signal)
                self._settle([place], self._summarize(statistics, request.path))
            case ClipResult() as failure:
                self._settle([place], failure)

    def _wait(self) -> None:
        multiprocessing.connection.wait([*self._pool.connections, self._feeder.connection], self._pool.patience)
        for clip in self._pool.collect():
            match clip:
                case NotDecoded(request, error):
                    self._finish(request, error)
                case DecodedInRing(decoded=decoded):
                    self._clock.add("decode", decoded.seconds)
                    self._feeder.add(clip)
        for frames, measured in self._feeder.collect():
            self.counts.frames += frames
            try:
                for request, outcome in measured:
                    self._finish(request, outcome)
            finally:  # Ctrl-C may come at any moment; what is finished is kept all the same
                with self._clock("memo"):
                    self._memo.commit()

    def _finish(self, request: ClipRequest, outcome: ClipStatistics | ClipError) -> None:
        key = self._memo.key(request)
        match outcome:
            case ClipStatistics():
                result = self._summarize(outcome, request.path)
                if self._memo.first_seen(key):
                    self.counts.add_computed(outcome.signal)
                self._memo.put(key, request, outcome)
            case ClipError():
                result = self._fail(outcome, request.path)
                self.counts.clips_failed += 1
                self._memo.put_failure(key, result)
        self._settle(self._waiting.pop(key), result)

    def _fail(self, error: ClipError, path: str) -> ClipResult:
        return ClipResult(Status(error.status), reason=self._locator.mention(str(error), path), path=path)

    def _summarize(self, statistics: ClipStatistics, path: str) -> ClipResult:
        mean, var = summarize(statistics, self._aggregator, self._alpha)
        note = self._spec.describe_lack(len(statistics.means))
        return ClipResult(Status.OK, mean, var, note and self._locator.mention(note, path))


def _is_first_done(under_way: deque[_OpenBatch]) -> bool:
    return bool(under_way) and not under_way[0].missing
