"""Decoded clips to the model: frames are gathered into frame batches, which run in threads; the maps are measured."""

from __future__ import annotations

import multiprocessing.connection
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from saliency_engine.errors import ClipError, InferenceError
from saliency_engine.inference.session import Session
from saliency_engine.numerics.aggregate import measure
from saliency_engine.numerics.normalize import normalize
from saliency_engine.pipeline.clock import Clock
from saliency_engine.pipeline.frame_batch import ClipFrames, FrameBatch
from saliency_engine.pipeline.map_folder import MapFolder
from saliency_engine.pipeline.outcomes import DecodedInRing
from saliency_engine.pipeline.pool import DecodePool
from saliency_engine.types import ClipRequest, ClipStatistics

Measured = tuple[ClipRequest, ClipStatistics | ClipError]


class Feeder:
    """Keeps the model at work on what ``pool`` has decoded. Owns the frame batches and the model's threads.

    ``connection`` can be waited for: it is ready when a frame batch may have come back.
    """

    def __init__(self, session: Session, pool: DecodePool, batch_size: int, clock: Clock) -> None:
        self._session, self._pool, self._clock = session, pool, clock
        self._decoded: deque[ClipFrames] = deque()
        # As many as keep the model busy, and one that is being filled.
        self._spare = [FrameBatch.allocate(session, batch_size) for _ in range(session.batches_at_once + 1)]
        self._spare_maps: list[NDArray[np.float32]] = []
        self._filling: FrameBatch | None = None
        self._running: deque[tuple[FrameBatch, Future[list[Measured]]]] = deque()
        self._threads = ThreadPoolExecutor(session.batches_at_once, thread_name_prefix="model")
        self._cold = True
        self.maps: Sequence[MapFolder] = ()
        """Where the maps of each clip are written to."""
        self.connection, self._signal = multiprocessing.Pipe(duplex=False)

    @property
    def busy(self) -> bool:
        """The model has frame batches to run."""
        return bool(self._running)

    @property
    def fault(self) -> str:
        """Why this model can give no clip its numbers; empty for a sound one."""
        return self._session.fault

    def warm(self) -> None:
        """On the first call, begin to load what the first clip will need; later calls do nothing."""
        if self._cold:
            self._cold = False
            self._threads.submit(_load_kernels)

    def add(self, clip: DecodedInRing) -> None:
        """Queue a decoded clip; its ring slot is released as soon as all of its frames are in frame batches."""
        frames = self._pool.frames[clip.ring_slot]
        self._decoded.append(ClipFrames(clip.request, clip.decoded, clip.ring_slot, frames, self._take_maps()))

    def feed(self) -> None:
        """Fill frame batches from the queued clips, and hand each to the model when it is time."""
        while self._decoded and (self._filling or self._spare):
            self._filling = self._filling or self._spare.pop()
            clip = self._decoded[0]
            with self._clock("batch"):
                self._filling.add(clip)
            if clip.batched == clip.decoded.inferred:
                self._decoded.popleft()
                self._pool.release(clip.ring_slot)
            if self._filling.full:
                self._dispatch()
        # A graph that takes one frame at a time gains nothing by waiting for more; any other waits until it is full
        # or nothing more is coming.
        if self._filling and not self._running and (self._session.frames_per_call == 1 or not self._pool.busy):
            self._dispatch()

    def collect(self) -> Iterator[list[Measured]]:
        """Yield, in order, what has come back: the clips that are complete with each frame batch."""
        while self.connection.poll():
            self.connection.recv_bytes()
        while self._running and self._running[0][1].done():
            batch, future = self._running.popleft()
            measured = future.result()
            batch.owners.clear()
            self._spare.append(batch)
            yield measured

    def close(self) -> None:
        """Stop the model's threads, each after the frame batch that it is running."""
        self._threads.shutdown(wait=True, cancel_futures=True)
        self.connection.close()
        self._signal.close()

    def _take_maps(self) -> NDArray[np.float32]:
        """An array for a clip's maps, if possible a used one: new memory costs as much time as measuring the maps."""
        if self._spare_maps:
            return self._spare_maps.pop()
        most = self._pool.frames.shape[1]
        return np.empty((most, self._session.map_height, self._session.map_width), np.float32)

    def _dispatch(self) -> None:
        batch, self._filling = self._filling, None
        if batch is not None:
            future = self._threads.submit(self._run, batch)
            future.add_done_callback(lambda _: self._signal.send_bytes(b"."))
            self._running.append((batch, future))

    def _run(self, batch: FrameBatch) -> list[Measured]:
        """In one of the model's threads: run a frame batch and measure the clips that are complete with it."""
        with self._clock.shared("infer"):
            complete = batch.run(self._session)
        with self._clock.shared("aggregate"):
            for clip in complete:
                clip.spread_maps()
            measured = [(clip.request, _measure(clip)) for clip in complete]
            self._write_maps(complete, measured)
        self._spare_maps += [clip.maps for clip in complete]
        return measured

    def _write_maps(self, clips: Sequence[ClipFrames], measured: Sequence[Measured]) -> None:
        for clip, (request, outcome) in zip(clips, measured, strict=True):
            if isinstance(outcome, ClipStatistics):
                for folder in self.maps:
                    folder.write(request, clip.maps[: clip.decoded.frames], outcome.motion)


def _load_kernels() -> None:
    """Numba takes 0.2 s for its first kernel. It does so while the first clip is decoded, which else would wait."""
    normalize(np.zeros((1, 3, 1, 1), np.uint16), np.empty((1, 3, 1, 1), np.float32))
    measure(np.zeros((1, 1, 1), np.float32), np.zeros(1))


def _measure(clip: ClipFrames) -> ClipStatistics | ClipError:
    if clip.failure is not None:
        return InferenceError(clip.failure)
    try:
        statistics = measure(clip.maps[: clip.decoded.frames], np.array(clip.decoded.motion))
        times = np.array(clip.decoded.times)
        return replace(statistics, signal=clip.decoded.signal, times=times, extras=clip.decoded.extras)
    except InferenceError as error:
        return error
