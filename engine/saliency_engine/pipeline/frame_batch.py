"""Frame batches of fixed shape, filled with the frames of whatever clips are ready.

A ``FrameBatch`` owns the model's input and output arrays. A few of them take turns: one is filled while the others are
with the model.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from saliency_engine.errors import InferenceError
from saliency_engine.inference.session import Session
from saliency_engine.types import ClipRequest, DecodedClip


@dataclass
class ClipFrames:
    """A decoded clip's frames on their way through the model, and their maps."""

    request: ClipRequest
    decoded: DecodedClip
    ring_slot: int
    frames: NDArray[np.uint16]
    """Those that the model gets, ``[K, 3, H, W]``: a view of the ring slot, valid until that is released."""
    maps: NDArray[np.float32]
    """At least ``[K, map_H, map_W]``; the frame batches that the frames are in fill the first ``decoded.inferred``."""
    batched: int = 0
    """How many of the frames that the model gets are in frame batches."""
    failure: str | None = None
    """Why the model gave no map of a frame; ``None`` where it gave all so far."""
    _mapped: int = 0
    _counting: threading.Lock = field(default_factory=threading.Lock)  # its frames may be in two batches at once

    def count_mapped(self) -> bool:
        """Count a frame as done; whether it was the last."""
        with self._counting:
            self._mapped += 1
            return self._mapped == self.decoded.inferred

    def spread_maps(self) -> None:
        """Once it has all maps: give each of the K sampled frames the one that stands for it."""
        if self.decoded.inferred < self.decoded.frames:
            # The last frame first: a map lies at its own frame's place or before it, so none is overwritten too early.
            for frame in reversed(range(self.decoded.frames)):
                self.maps[frame] = self.maps[self.decoded.map_of[frame]]


@dataclass
class FrameBatch:
    """Input and output arrays of one model run, and whose frames are in them."""

    inputs: NDArray[np.uint16]
    """``[frames, 3, H, W]``; the first ``len(owners)`` are in use."""
    outputs: NDArray[np.float32]
    """``[frames, map_H, map_W]``."""
    owners: list[tuple[ClipFrames, int]] = field(default_factory=list)
    """For each frame in ``inputs``, its clip and its place in the clip's sample."""

    @classmethod
    def allocate(cls, session: Session, batch_size: int) -> FrameBatch:
        """Arrays for ``batch_size`` frames, rounded up to whole calls of the graph."""
        frames = -(-batch_size // session.frames_per_call) * session.frames_per_call
        return cls(
            np.zeros((frames, 3, session.height, session.width), np.uint16),
            np.zeros((frames, session.map_height, session.map_width), np.float32),
        )

    @property
    def full(self) -> bool:
        """No room for another frame."""
        return len(self.owners) == len(self.inputs)

    def add(self, clip: ClipFrames) -> None:
        """Copy as many of the clip's remaining frames as fit."""
        while clip.batched < clip.decoded.inferred and not self.full:
            self.inputs[len(self.owners)] = clip.frames[clip.batched]
            self.owners.append((clip, clip.batched))
            clip.batched += 1

    def run(self, session: Session) -> list[ClipFrames]:
        """Run the model on the frames added so far and hand every map to its clip.

        The last call of the graph is padded with what lies there. Returns the clips whose last frame this was; those
        for whose frames the model gave no maps have a ``failure``. Batches may run at once.
        """
        frames = -(-len(self.owners) // session.frames_per_call) * session.frames_per_call
        failure = None
        try:
            session.run(self.inputs[:frames], self.outputs[:frames])
        except InferenceError as error:
            failure = str(error)
        complete = []
        for index, (clip, frame) in enumerate(self.owners):
            if failure is None:
                clip.maps[frame] = self.outputs[index]
            else:
                clip.failure = failure
            if clip.count_mapped():
                complete.append(clip)
        return complete
