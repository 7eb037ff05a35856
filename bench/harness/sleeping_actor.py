"""An actor that sleeps in place of decoding and inferring. Nothing heavy is imported: there are many on one machine."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Sequence
from typing import Any

from harness.made_up import answer

from saliency_engine.pipeline.far_work import ClipWork, EngineState, WorkDone


class SleepingActor:
    """Stands in for the actor of ``ActorPool``, as an engine that finishes a clip in so many ``seconds``.

    Calls that are under way together take turns, as clips do in an engine.
    """

    seconds = 0.1
    """For a clip; set by a subclass."""

    def __init__(self, _models: Any, _config: Any, cores: int, _names: Any) -> None:
        self._cores, self._name, self._made = cores, uuid.uuid4().hex, time.monotonic()
        self._clips, self._busy = 0, 0.0
        self._turn = threading.Lock()

    def start(self) -> WorkDone:
        """As that of the real one."""
        return WorkDone("here", self._state())

    def compute(self, works: Sequence[ClipWork]) -> WorkDone:
        """Sleep, and send made-up numbers back."""
        with self._turn:
            started = time.monotonic()
            time.sleep(self.seconds * len(works))
            self._busy += time.monotonic() - started
            self._clips += len(works)
            return answer(works, "here", self._state())

    def _state(self) -> EngineState:
        elapsed = time.monotonic() - self._made
        return EngineState(
            self._name, "here", self._cores, self._cores, self._clips, 0, elapsed, {"asleep": self._busy}
        )
