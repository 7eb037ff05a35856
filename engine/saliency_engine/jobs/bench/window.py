"""The part of a benchmark's run that is timed."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from saliency_engine.errors import InferenceError
from saliency_engine.pipeline.clock import Clock
from saliency_engine.pipeline.counts import Counts

STAGES = ("decode", "batch", "infer", "aggregate")
_CLIPS, _SECONDS = 4, 2.5  # a window lasts for so many clips and for so long, whichever takes longer


class EnoughError(Exception):
    """Raised out of a run when its window is over."""


@dataclass(frozen=True)
class _Mark:
    """The engine's counts and clock at a moment, ``seconds`` on a clock that only goes forward."""

    seconds: float
    clips: int
    frames: int
    busy: Mapping[str, float]


class Window:
    """The steady part of a run: it begins when two clips per decoder are through, and ends before clips run out.

    ``counts`` and ``clock`` are the engine's, which change while it runs.
    """

    def __init__(self, counts: Counts, clock: Clock, decode_workers: int) -> None:
        self._counts, self._clock, self._decode_workers = counts, clock, decode_workers
        self._clips = counts.clips_computed
        self._first = self._clips + 2 * decode_workers
        self._begin: _Mark | None = None
        self._end: _Mark | None = None

    def tick(self) -> None:
        """Look at the counts whenever something has happened; raises ``EnoughError`` at the end."""
        if self._counts.clips_computed == self._clips:  # rates count from the end of one clip to the end of another
            return
        self._clips = self._counts.clips_computed
        now = _Mark(time.perf_counter(), self._clips, self._counts.frames, dict(self._clock.seconds))
        if self._begin is None:
            self._begin = now if now.clips >= self._first else None
        elif now.clips - self._begin.clips >= _CLIPS and now.seconds - self._begin.seconds >= _SECONDS:
            self._end = now
            raise EnoughError

    def rates(self) -> tuple[float, float]:
        """Frames and clips per second. Raises ``InferenceError`` where the run ended before the window did."""
        begin, end = self._ends()
        seconds = end.seconds - begin.seconds
        return (end.frames - begin.frames) / seconds, (end.clips - begin.clips) / seconds

    def busy(self) -> dict[str, float]:
        """The share of the window that each of ``STAGES`` was at work, in [0, 1]; of all decoders' time for decoding.

        Raises ``InferenceError`` as ``rates`` does.
        """
        begin, end = self._ends()
        shares = {}
        for stage in STAGES:
            workers = self._decode_workers if stage == "decode" else 1
            spent = end.busy.get(stage, 0.0) - begin.busy.get(stage, 0.0)
            # A stage's time counts when its work ends, so a window may catch a little more than its own.
            shares[stage] = min(spent / (workers * (end.seconds - begin.seconds)), 1.0)
        return shares

    def _ends(self) -> tuple[_Mark, _Mark]:
        if self._begin is None or self._end is None:
            raise InferenceError("the engine ended before the measurement did")
        return self._begin, self._end
