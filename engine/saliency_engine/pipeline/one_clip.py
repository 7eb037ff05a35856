"""One clip, here and now: its frames, their maps and its statistics, without workers, memo or table."""

from __future__ import annotations

import os
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from saliency_engine.config import RunConfig, run_config
from saliency_engine.inference.session import Session, open_session
from saliency_engine.models.load import load_model
from saliency_engine.numerics.aggregate import combine, measure, summarize
from saliency_engine.pipeline.detector import check_detector
from saliency_engine.pipeline.raw_video import check_pixel_format
from saliency_engine.storage.locate import Locator
from saliency_engine.types import ClipReference, ClipStatistics, decode_spec


@dataclass(frozen=True)
class OneClip:
    """A clip of K sampled frames and what the model made of them."""

    frames: NDArray[np.uint16]
    """16-bit R'G'B' of the model's input size, ``[K, 3, H, W]``; gamma-coded, 65535 is white. With ``reuse``, the frame
    that a map is of is there once for each that the map stands for."""
    maps: NDArray[np.float32]
    """The frames' saliency maps as the model gave them, ``[K, map_H, map_W]``; outside [0, 1] by 1e-3 at most."""
    statistics: ClipStatistics
    """What every aggregator's mean and variance follow from; ``statistics.motion`` weighs the frames."""

    @property
    def means(self) -> NDArray[np.float64]:
        """``[K]``: the mean of each frame's map, in [0, 1]."""
        return self.statistics.means

    @property
    def variances(self) -> NDArray[np.float64]:
        """``[K]``: the population variance over the pixels of each frame's map."""
        return np.maximum(np.diag(self.statistics.gram) - self.means**2, 0.0)

    @property
    def motion(self) -> NDArray[np.float64]:
        """``[K]``: mean|Y_t − Y_(t−1)| / 255 between consecutive sampled frames, in [0, 1]; 0 for the first."""
        return self.statistics.motion

    def summarize(self, aggregator: str = "mean", ema_alpha: float = 0.6) -> tuple[float, float]:
        """Mean and population variance of the aggregated map, as a row has them."""
        return summarize(self.statistics, aggregator, ema_alpha)

    def combine(self, aggregator: str = "mean", ema_alpha: float = 0.6) -> NDArray[np.float32]:
        """The aggregated map ``[map_H, map_W]``, in [0, 1]."""
        heat = np.empty(self.maps.shape[1:], np.float32)
        combine(self.maps, self.motion, aggregator, ema_alpha, heat)
        return heat


def compute_clip(path: str | os.PathLike[str], *, model: str = "", **options: Any) -> OneClip:
    """The sampled frames of the clip at ``path``, their maps, and the numbers that a run gives its row.

    ``model`` and ``options`` are those of ``RunConfig``; for raw video ``default_width`` and ``default_height`` say its
    size. The model is loaded for this clip alone; ``Engine.compute_clip`` does it once for many. The clip is decoded in
    this process, without a time-out, and the memo is not asked.

    Raises ``ConfigError``, ``ModelError``, ``ProviderError``, and ``ClipError`` where the clip cannot be found, decoded
    or modelled.
    """
    config = run_config({"model": model, **options})
    with closing(open_session(load_model(config), config)) as session:
        return model_clip(as_reference(path), session, config)


def as_reference(path: str | os.PathLike[str]) -> ClipReference:
    """The clip at ``path``, which is that of a file as it is: nothing is appended to it."""
    return ClipReference(os.fsdecode(path), whole=True)


def model_clip(clip: ClipReference, session: Session, config: RunConfig) -> OneClip:
    """Find, decode and model ``clip`` in this process, as a run under ``config`` would; the numbers are the same.

    Raises ``ConfigError``, and ``ClipError`` where the clip cannot be found, decoded or modelled.
    """
    from saliency_engine.video.decode import decode_frames  # noqa: PLC0415  a run's own process never needs it

    check_pixel_format(config)
    check_detector(config)
    request = replace(Locator(config).locate(clip), extra=tuple(config.extra))
    frames, decoded = decode_frames(request, decode_spec(config, session.width, session.height))
    maps = _run_model(session, frames)
    if decoded.inferred < decoded.frames:
        map_of = list(decoded.map_of)
        frames, maps = frames[map_of], maps[map_of]
    return OneClip(frames, maps, replace(measure(maps, np.array(decoded.motion)), extras=decoded.extras))


def _run_model(session: Session, frames: NDArray[np.uint16]) -> NDArray[np.float32]:
    """The maps of ``frames``; the last call of the graph is filled up with black frames."""
    count = -(-len(frames) // session.frames_per_call) * session.frames_per_call
    inputs = np.zeros((count, *frames.shape[1:]), np.uint16)
    inputs[: len(frames)] = frames
    maps = np.empty((count, session.map_height, session.map_width), np.float32)
    session.run(inputs, maps)
    return maps[: len(frames)]
