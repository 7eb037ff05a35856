"""The only module that knows every stage: rows → plan → decode → batch → infer → aggregate → results, in order.

One thread drives an event loop; decoding runs in worker processes, the model in threads. Everything is
bounded: row batches under way by ``_OPEN_BATCHES``, decoded frames by the ring's slots, maps by the clips in the ring
and in the batches.
"""

from __future__ import annotations

import multiprocessing.connection
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from saliency_engine.aggregate import measure, summarize
from saliency_engine.batch import Batch, Clip
from saliency_engine.clock import Clock
from saliency_engine.errors import ClipError, InferenceError, MissingGeometryError, MissingSourceError
from saliency_engine.infer import Session
from saliency_engine.memo import Memo
from saliency_engine.normalize import normalize
from saliency_engine.plan import Planner
from saliency_engine.pool import DecodePool
from saliency_engine.types import (
    ClipRequest,
    ClipResult,
    ClipStatistics,
    DecodedClip,
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


_Measured = tuple[Clip, ClipStatistics | ClipError]


class Pipeline:
    """Computes the results of row batches. Owns nothing: session, pool and memo are the engine's."""

    def __init__(
        self,
        *,
        planner: Planner,
        pool: DecodePool,
        session: Session,
        memo: Memo,
        aggregator: str,
        alpha: float,
        batch_size: int,
        samples: int,
        clock: Clock,
    ) -> None:
        self._planner, self._pool, self._session, self._memo = planner, pool, session, memo
        self._aggregator, self._alpha, self._samples = aggregator, alpha, samples
        self._clock = clock
        self.counts = Counts()
        self._todo: deque[tuple[_OpenBatch, int]] = deque()
        self._waiting: dict[bytes, list[tuple[_OpenBatch, int]]] = {}
        self._decoded: deque[Clip] = deque()
        # Enough with the model, so that it never waits for the end of a batch, and one being filled.
        self._spare = [Batch.allocate(session, batch_size) for _ in range(session.batches_at_once + 1)]
        self._spare_maps: list[NDArray[np.float32]] = []
        self._filling: Batch | None = None
        self._running: deque[tuple[Batch, Future[list[_Measured]]]] = deque()
        self._model_threads = ThreadPoolExecutor(session.batches_at_once, thread_name_prefix="model")
        self._cold = True
        self._model_done, self._model_signal = multiprocessing.Pipe(duplex=False)

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
                while not exhausted and not self._todo and len(under_way) < _OPEN_BATCHES:
                    with self._clock("read"):
                        batch = next(incoming, None)
                    if batch is None:
                        exhausted = True
                    else:
                        under_way.append(self._open(batch))
                self._advance()
                tick()
                while under_way and not under_way[0].missing:
                    done = under_way.popleft()
                    yield done.batch, [result for result in done.results if result is not None]
                room = not exhausted and not self._todo and len(under_way) < _OPEN_BATCHES
                if not room and (self._pool.busy or self._running):
                    self._wait()
        finally:
            self._todo.clear()  # a caller may stop early; clips under way still reach the memo

    def close(self) -> None:
        """Stop the model's threads after the batches they are at."""
        self._model_threads.shutdown(wait=True, cancel_futures=True)
        self._model_done.close()
        self._model_signal.close()

    # rows

    def _open(self, batch: RowBatch[PayloadT]) -> _OpenBatch:
        per_source = np.bincount(batch.codes + 1, minlength=len(batch.sources) + 1)
        self.counts.rows_read += batch.rows
        self.counts.rows += int(per_source[0])
        self.counts.skipped_existing += int(per_source[0])
        opened = _OpenBatch(batch, per_source[1:].tolist(), [None] * len(batch.sources), len(batch.sources))
        self._todo.extend((opened, index) for index in range(len(batch.sources)))
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
            with self._clock("plan"):
                self._plan(*self._todo.popleft())
        self._fill()

    def _plan(self, opened: _OpenBatch, index: int) -> None:
        place = (opened, index)
        try:
            request = self._planner.request(opened.batch.sources[index])
            if self._session.fault:
                raise InferenceError(self._session.fault)
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
            if self._cold:
                self._cold = False
                self._model_threads.submit(_load_kernels)
        elif isinstance(known, ClipResult):
            self._settle([place], known)
        else:
            self.counts.clips_reused += self._memo.first_seen(key)
            self._settle([place], self._result(known))

    def _wait(self) -> None:
        connections = [*self._pool.connections, self._model_done]
        multiprocessing.connection.wait(connections, self._pool.seconds_left())
        for request, slot, outcome in self._pool.collect():
            self._receive(request, slot, outcome)
        while self._model_done.poll():
            self._model_done.recv_bytes()
        while self._running and self._running[0][1].done():
            self._finish_batch()

    def _receive(self, request: ClipRequest, slot: int, outcome: DecodedClip | ClipError) -> None:
        if isinstance(outcome, ClipError):
            self._pool.release(slot)
            self._finish(request, outcome)
            return
        self._clock.add("decode", outcome.seconds)
        self._decoded.append(Clip(request, outcome, slot, self._pool.frames[slot], self._take_maps()))

    def _take_maps(self) -> NDArray[np.float32]:
        """An array for a clip's maps, used before if possible: new memory costs as much as measuring what is in it."""
        if self._spare_maps:
            return self._spare_maps.pop()
        most = self._pool.frames.shape[1]
        return np.empty((most, self._session.map_height, self._session.map_width), np.float32)

    def _fill(self) -> None:
        """Fill batches from decoded clips and hand them to the model when it is time."""
        while self._decoded and (self._filling or self._spare):
            self._filling = self._filling or self._spare.pop()
            clip = self._decoded[0]
            with self._clock("batch"):
                self._filling.add(clip)
            if clip.batched == clip.decoded.frames:
                self._decoded.popleft()
                self._pool.release(clip.slot)
            if self._filling.full:
                self._dispatch()
        # A graph that takes one frame at a time gains nothing by waiting for more; any other waits until it is full
        # or nothing more is coming.
        if self._filling and not self._running and (self._session.batch == 1 or not self._pool.busy):
            self._dispatch()

    def _dispatch(self) -> None:
        batch, self._filling = self._filling, None
        if batch is not None:
            future = self._model_threads.submit(self._run, batch)
            future.add_done_callback(lambda _: self._model_signal.send_bytes(b"."))
            self._running.append((batch, future))

    def _run(self, batch: Batch) -> list[_Measured]:
        """In a thread of the model's: run a batch and measure the clips that are complete with it."""
        with self._clock.shared("infer"):
            complete = batch.run(self._session)
        with self._clock.shared("aggregate"):
            return [(clip, _measure(clip)) for clip in complete]

    def _finish_batch(self) -> None:
        batch, future = self._running.popleft()
        measured = future.result()
        self.counts.frames += len(batch.owners)
        batch.owners.clear()
        try:
            for clip, outcome in measured:
                self._finish(clip.request, outcome)
                self._spare_maps.append(clip.maps)
        finally:  # Ctrl-C may come at any moment, and what is finished is kept
            with self._clock("memo"):
                self._memo.commit()
        self._spare.append(batch)

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


def _load_kernels() -> None:
    """While the first clip is being decoded: numba takes 0.2 s for its first kernel, which the clip would wait for."""
    normalize(np.zeros((1, 3, 1, 1), np.uint16), np.empty((1, 3, 1, 1), np.float32))
    measure(np.zeros((1, 1, 1), np.float32), np.zeros(1))


def _measure(clip: Clip) -> ClipStatistics | ClipError:
    if clip.failure is not None:
        return InferenceError(clip.failure)
    try:
        return measure(clip.maps[: clip.decoded.frames], np.array(clip.decoded.motion))
    except InferenceError as error:
        return error


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
