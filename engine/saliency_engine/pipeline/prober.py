"""Rows to what their clips are: located here, probed in the decoding processes, in order."""

from __future__ import annotations

import multiprocessing.connection
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Self

import numpy as np

from saliency_engine.config import RunConfig
from saliency_engine.errors import ClipError
from saliency_engine.facts import ClipFacts, ProbeSpec
from saliency_engine.machine import cores
from saliency_engine.pipeline.counts import Counts
from saliency_engine.pipeline.outcomes import NotDecoded, Probed
from saliency_engine.pipeline.pool import DecodePool
from saliency_engine.pipeline.raw_video import check_pixel_format
from saliency_engine.pipeline.worker import claim_open_files, start_fork_server
from saliency_engine.storage.locate import Locator
from saliency_engine.types import ClipRequest, ClipResult, PayloadT, RowBatch, Status

# Clips whose outcome is kept for rows further on, as where each frame has a row: some 100 MB at the most.
_KNOWN_CLIPS = 1 << 16

Outcome = ClipFacts | ClipResult
"""What a clip is, or its failure."""


class Prober:
    """Probes the clips of row batches; a context manager.

    Raises ``ConfigError`` for a pixel format that cannot be read, ``WorkerError`` when it cannot start.
    """

    def __init__(self, config: RunConfig, locator: Locator, *, count_frames: bool) -> None:
        check_pixel_format(config)
        self._locator = locator
        workers = cores() if config.decode_workers == "auto" else config.decode_workers
        claim_open_files(workers)
        start_fork_server(remote=config.allow_remote)
        spec = ProbeSpec(config.color, config.max_pixels, config.accept_short, config.confined_to, count_frames)
        self._pool = DecodePool(spec, workers, workers, config.clip_timeout)
        self.counts = Counts()
        self._known: dict[ClipRequest, Outcome] = {}

    def results(
        self, batches: Iterable[RowBatch[PayloadT]], tick: Callable[[], None]
    ) -> Iterator[tuple[RowBatch[PayloadT], list[Outcome]]]:
        """Yield every batch, in order, with one outcome per entry of its ``clips``.

        ``tick`` is called whenever something has happened. Batches follow one another: they have thousands of clips, so
        that it costs little to wait for the last of each.
        """
        for batch in batches:
            self.counts.rows_read += batch.rows
            yield batch, self._probe(batch, tick)

    def _probe(self, batch: RowBatch[PayloadT], tick: Callable[[], None]) -> list[Outcome]:
        self._locator.foresee(batch.clips)
        rows = np.bincount(batch.codes, minlength=len(batch.clips)).tolist()
        outcomes: dict[int, Outcome] = {}
        todo, waiting = deque(range(len(batch.clips))), dict[ClipRequest, list[int]]()

        def settle(places: Iterable[int], outcome: Outcome) -> None:
            for place in places:
                outcomes[place] = outcome
                self.counts.rows += rows[place]
                if isinstance(outcome, ClipFacts):
                    self.counts.ok += rows[place]
                else:
                    self.counts.failed += rows[place]

        while todo or waiting:
            while todo and self._pool.ready:
                place = todo.popleft()
                try:
                    request = self._locator.locate(batch.clips[place])
                except ClipError as error:
                    settle([place], ClipResult(Status(error.status), reason=str(error)))
                    continue
                if request in self._known:
                    settle([place], self._known[request])
                elif request in waiting:
                    waiting[request].append(place)
                else:
                    waiting[request] = [place]
                    self._pool.submit(request)
            tick()
            if waiting:
                for request, outcome in self._collect():
                    settle(waiting.pop(request), outcome)
        return [outcomes[place] for place in range(len(batch.clips))]

    def _collect(self) -> Iterator[tuple[ClipRequest, Outcome]]:
        multiprocessing.connection.wait(self._pool.connections, self._pool.patience)
        for clip in self._pool.collect():
            outcome: Outcome
            match clip:
                case Probed(facts=facts):
                    outcome = facts
                    self.counts.clips_computed += 1
                case NotDecoded(request, error):
                    self.counts.clips_failed += 1
                    outcome = ClipResult(Status(error.status), reason=self._locator.mention(str(error), request.path))
                case _:
                    raise TypeError("a decoded clip, where clips are probed")
            if len(self._known) < _KNOWN_CLIPS:
                self._known[clip.request] = outcome
            yield clip.request, outcome

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.close()
