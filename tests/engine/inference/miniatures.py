"""What tests of sessions share: a model from a graph, its session, frames and their maps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import ModelProto

from saliency_engine.inference.session import Session
from saliency_engine.models.load import Model

EVERY_BACKEND = pytest.mark.parametrize("provider", ["cpu", "openvino"])


def model_of(made: ModelProto | Path) -> Model:
    data = made.read_bytes() if isinstance(made, Path) else made.SerializeToString()
    return Model("miniature", "miniature.onnx", "00", data)


def session_of(model: Model, batch_size: int = 4, size: tuple[int, int] = (48, 32), provider: str = "cpu") -> Session:
    return Session(model, provider=provider, threads=1, batch_size=batch_size, model_size=size)


def draw_frames(count: int, height: int = 32, width: int = 48) -> NDArray[np.uint16]:
    return np.random.default_rng(2).integers(0, 65536, (count, 3, height, width), np.uint16)


def maps_of(session: Session, frames: NDArray[np.uint16]) -> NDArray[np.float32]:
    maps = np.empty((len(frames), session.map_height, session.map_width), np.float32)
    session.run(frames, maps)
    return maps
