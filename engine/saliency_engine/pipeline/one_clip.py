"""One clip, here and now: its frames, their maps and its statistics, without workers, memo or table."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from saliency_engine.config import RunConfig
from saliency_engine.inference.session import Session
from saliency_engine.numerics.aggregate import measure
from saliency_engine.storage.locate import Locator
from saliency_engine.types import ClipReference, ClipStatistics, decode_spec
from saliency_engine.video.decode import decode_frames


@dataclass(frozen=True)
class OneClip:
    """A clip of K sampled frames and what the model made of them."""

    frames: NDArray[np.uint16]
    """16-bit R'G'B' of the model's input size, ``[K, 3, H, W]``; gamma-coded, 65535 is white."""
    maps: NDArray[np.float32]
    """The frames' saliency maps as the model gave them, ``[K, map_H, map_W]``; outside [0, 1] by 1e-3 at most."""
    statistics: ClipStatistics
    """What every aggregator's mean and variance follow from; ``statistics.motion`` weighs the frames."""


def compute_clip(clip: ClipReference, session: Session, config: RunConfig) -> OneClip:
    """Find, decode and model ``clip`` in this process, as a run under ``config`` would; the numbers are the same.

    Raises ``ClipError`` where the clip cannot be found, decoded or modelled.
    """
    request = Locator(config).locate(clip)
    frames, decoded = decode_frames(request, decode_spec(config, session.width, session.height))
    maps = _run_model(session, frames)
    return OneClip(frames, maps, measure(maps, np.array(decoded.motion)))


def _run_model(session: Session, frames: NDArray[np.uint16]) -> NDArray[np.float32]:
    """The maps of ``frames``; the last call of the graph is filled up with black frames."""
    count = -(-len(frames) // session.frames_per_call) * session.frames_per_call
    inputs = np.zeros((count, *frames.shape[1:]), np.uint16)
    inputs[: len(frames)] = frames
    maps = np.empty((count, session.map_height, session.map_width), np.float32)
    session.run(inputs, maps)
    return maps[: len(frames)]
