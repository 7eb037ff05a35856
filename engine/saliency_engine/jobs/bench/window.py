"""The steady part of a run: what is timed when clips never run short."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from saliency_engine.errors import InferenceError
from saliency_engine.pipeline.engine import Engine

STAGES = ("decode", "batch", "infer", "aggregate")
_CLIPS, _SECONDS = 4, 2.5  # it ends when both are over


class EnoughError(Exception):
    """The window is over."""


@dataclass(frozen=True)
class _Mark:
    seconds: float
    clips: int
    frames: int
    busy: Mapping[str, float]


class Window:
    """The steady part of a run: from when every decoder's slots have been filled once."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._clips = engine.counts.clips_computed
        self._first = self._clips + 2 * engine.decode_workers
        self._begin: _Mark | None = None
        self._end: _Mark | None = None

    def tick(self) -> None:
        """Look at the engine's counts whenever something has happened; raises ``EnoughError`` at the end."""
        counts = self._engine.counts
        if counts.clips_computed == self._clips:  # rates are counted from the end of one clip to the end of another
            return
        self._clips = counts.clips_computed
        now = _Mark(time.perf_counter(), counts.clips_computed, counts.frames, dict(self._engine.clock.seconds))
        if self._begin is None:
            self._begin = now if now.clips >= self._first else None
        elif now.clips - self._begin.clips >= _CLIPS and now.seconds - self._begin.seconds >= _SECONDS:
            self._end = now
            raise EnoughError

    def rates(self) -> tuple[float, float]:
        """Frames and clips per second."""
        begin, end = self._ends()
        seconds = end.seconds - begin.seconds
        return (end.frames - begin.frames) / seconds, (end.clips - begin.clips) / seconds

    def busy(self) -> dict[str, float]:
        """See ``Timing``."""
        begin, end = self._ends()
        shares = {}
        for stage in STAGES:
            workers = self._engine.decode_workers if stage == "decode" else 1
            spent = end.busy.get(stage, 0.0) - begin.busy.get(stage, 0.0)
            # A stage's time counts when its work ends, so a window may catch a little more than its own.
            shares[stage] = min(spent / (workers * (end.seconds - begin.seconds)), 1.0)
        return shares

    def _ends(self) -> tuple[_Mark, _Mark]:
        if self._begin is None or self._end is None:
            raise InferenceError("the engine ended before the measurement did")
        return self._begin, self._end
