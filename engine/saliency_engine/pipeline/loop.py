"""The only module that knows every stage: rows → locate → decode → batch → infer → aggregate → results, in order.

One thread drives an event loop; decoding runs in worker processes, the model in the feeder's threads. Everything is
bounded: row batches under way by ``_OPEN_BATCHES``, decoded frames by the ring's slots, maps by the clips in the ring
and in the batches.
"""

from __future__ import annotations

import multiprocessing.connection
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from saliency_engine.errors import ClipError, InferenceError, MissingGeometryError, MissingSourceError
from saliency_engine.numerics.aggregate import summarize
from saliency_engine.pipeline.clock import Clock
from saliency_engine.pipeline.feeder import Feeder
from saliency_engine.pipeline.memo import Memo
from saliency_engine.pipeline.pool import DecodedInRing, DecodePool, NotDecoded
from saliency_engine.storage.locate import Locator
from saliency_engine.types import (
    ClipRequest,
    ClipResult,
    ClipStatistics,
    PayloadT,
    RowBatch,
    Status,
)

# Row batches under way. Rows behind a slow clip wait for it here, so it must be more than one; each holds its rows.
_OPEN_BATCHES = 4


@dataclass
class Counts:
    """What has happened so far. ``rows`` have their result; ``rows_read`` have been read."""

    rows_read: int = 0
    rows: int = 0
    ok: int = 0
    skipped_existing: int = 0
    failed: int = 0
    clips_computed: int = 0
    clips_reused: int = 0
    clips_failed: int = 0
    frames: int = 0


@dataclass
class _OpenBatch:
    batch: RowBatch[Any]
    rows_per_source: list[int]
    results: list[ClipResult | None] = field(default_factory=list)
    missing: int = 0


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
        samples: int,
        clock: Clock,
    ) -> None:
        self._locator, self._pool, self._feeder, self._memo = locator, pool, feeder, memo
        self._aggregator, self._alpha, self._samples = aggregator, alpha, samples
        self._clock = clock
        self.counts = Counts()
        self._todo: deque[tuple[_OpenBatch, int]] = deque()
        self._waiting: dict[bytes, list[tuple[_OpenBatch, int]]] = {}

    def process(
        self, batches: Iterable[RowBatch[PayloadT]], tick: Callable[[], None]
    ) -> Iterator[tuple[RowBatch[PayloadT], list[ClipResult]]]:
        """Yield every batch, in order, with one result per entry of its ``sources``.

        ``tick`` is called whenever something has happened.
        """
        incoming = iter(batches)
        exhausted = False
        under_way: deque[_OpenBatch] = deque()
        try:
            while under_way or not exhausted:
                while not exhausted and self._room(under_way) and not _head_done(under_way):
                    with self._clock("read"):
                        batch = next(incoming, None)
                    if batch is None:
                        exhausted = True
                    else:
                        under_way.append(self._open(batch))
                self._advance()
                tick()
                while _head_done(under_way):
                    done = under_way.popleft()
                    yield done.batch, [result for result in done.results if result is not None]
                reads_on = not exhausted and self._room(under_way)
                if not reads_on and (self._pool.busy or self._feeder.busy):
                    self._wait()
        finally:
            self._todo.clear()  # a caller may stop early; clips under way still reach the memo

    # rows

    def _room(self, under_way: deque[_OpenBatch]) -> bool:
        return not self._todo and len(under_way) < _OPEN_BATCHES

    def _open(self, batch: RowBatch[PayloadT]) -> _OpenBatch:
        per_source = np.bincount(batch.codes + 1, minlength=len(batch.clips) + 1)
        self.counts.rows_read += batch.rows
        self.counts.rows += int(per_source[0])
        self.counts.skipped_existing += int(per_source[0])
        opened = _OpenBatch(batch, per_source[1:].tolist(), [None] * len(batch.clips), len(batch.clips))
        self._todo.extend((opened, index) for index in range(len(batch.clips)))
        return opened

    def _settle(self, places: list[tuple[_OpenBatch, int]], result: ClipResult) -> None:
        for opened, index in places:
            opened.results[index] = result
            opened.missing -= 1
            rows = opened.rows_per_source[index]
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
                self._take_up(*self._todo.popleft())
        self._feeder.feed()

    def _take_up(self, opened: _OpenBatch, index: int) -> None:
        place = (opened, index)
        try:
            request = self._locator.locate(opened.batch.clips[index])
            if self._feeder.fault:
                raise InferenceError(self._feeder.fault)
        except ClipError as error:
            self._settle([place], _failure(error))
            return
        key = self._memo.key(request)
        if key in self._waiting:
            self._waiting[key].append(place)
            return
        known = self._memo.get(key)
        if known is None:
            self._waiting[key] = [place]
            self._pool.submit(request)
            self._feeder.warm()
        elif isinstance(known, ClipResult):
            self._settle([place], known)
        else:
            self.counts.clips_reused += self._memo.first_seen(key)
            self._settle([place], self._result(known))

    def _wait(self) -> None:
        multiprocessing.connection.wait([*self._pool.connections, self._feeder.connection], self._pool.seconds_left())
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
                for request, found in measured:
                    self._finish(request, found)
            finally:  # Ctrl-C may come at any moment, and what is finished is kept
                with self._clock("memo"):
                    self._memo.commit()

    def _finish(self, request: ClipRequest, outcome: ClipStatistics | ClipError) -> None:
        key = self._memo.key(request)
        if isinstance(outcome, ClipError):
            result = _failure(outcome)
            self.counts.clips_failed += 1
            self._memo.put_failure(key, result)
        else:
            result = self._result(outcome)
            self.counts.clips_computed += self._memo.first_seen(key)
            self._memo.put(key, request.path, outcome)
        self._settle(self._waiting.pop(key), result)

    def _result(self, statistics: ClipStatistics) -> ClipResult:
        mean, var = summarize(statistics, self._aggregator, self._alpha)
        frames = len(statistics.means)
        note = f"computed from {frames} of {self._samples} frames" if frames < self._samples else None
        return ClipResult(Status.OK, mean, var, note)


def _head_done(under_way: deque[_OpenBatch]) -> bool:
    return bool(under_way) and not under_way[0].missing


def _failure(error: ClipError) -> ClipResult:
    if isinstance(error, MissingSourceError):
        status = Status.MISSING_SOURCE
    elif isinstance(error, MissingGeometryError):
        status = Status.MISSING_GEOMETRY
    elif isinstance(error, InferenceError):
        status = Status.MODEL_FAILED
    else:
        status = Status.DECODE_FAILED
    return ClipResult(status, reason=str(error))
