"""How long each stage was busy."""

from __future__ import annotations

import heapq
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

_SLOWEST = 10


class Clock:
    """Adds up seconds by stage name; safe to use from several threads.

    ::

        with clock("infer"):
            ...
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._started = time.perf_counter()
        self._lock = threading.Lock()
        # Of ``shared``, by stage: how many threads are inside, and up to when their time has been counted.
        self._inside: dict[str, tuple[int, float]] = {}
        self._slowest: list[tuple[float, str]] = []  # a heap

    def restart(self) -> None:
        """Count from now on, as if the clock had just been made."""
        with self._lock:
            self.seconds.clear()
            self._slowest.clear()
            self._started = time.perf_counter()

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            self.add(stage, time.perf_counter() - started)

    @contextmanager
    def shared(self, stage: str) -> Iterator[None]:
        """As ``clock(stage)``, but time during which several threads are inside counts once."""
        self._count_inside(stage, 1)
        try:
            yield
        finally:
            self._count_inside(stage, -1)

    def _count_inside(self, stage: str, change: int) -> None:
        with self._lock:
            inside, since = self._inside.get(stage, (0, 0.0))
            now = time.perf_counter()
            if inside:
                self.seconds[stage] = self.seconds.get(stage, 0.0) + now - since
            self._inside[stage] = inside + change, now

    def add(self, stage: str, seconds: float) -> None:
        """Count ``seconds`` measured elsewhere."""
        with self._lock:
            self.seconds[stage] = self.seconds.get(stage, 0.0) + seconds

    def add_clip(self, seconds: float, path: str) -> None:
        """Count that decoding the clip at ``path`` took so many ``seconds``."""
        self.add("decode", seconds)
        push = heapq.heappush if len(self._slowest) < _SLOWEST else heapq.heappushpop
        push(self._slowest, (seconds, path))

    @property
    def slowest(self) -> list[tuple[float, str]]:
        """The clips that took longest to decode, the slowest first: seconds and path."""
        return sorted(self._slowest, reverse=True)

    @property
    def elapsed(self) -> float:
        """Seconds since this clock was made."""
        return time.perf_counter() - self._started
