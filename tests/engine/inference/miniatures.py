"""What tests of sessions share: a model from a graph, its session, frames and their maps."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper
from tests.small_models import convolution, saliency_model

from saliency_engine.inference.session import Session
from saliency_engine.models.load import Model

NEEDS_OPENVINO = pytest.mark.skipif(find_spec("openvino") is None, reason="OpenVINO is not installed (extra: openvino)")
EVERY_BACKEND = pytest.mark.parametrize("provider", ["cpu", pytest.param("openvino", marks=NEEDS_OPENVINO)])
NORMALISED = pytest.mark.parametrize("uint16", [True, False], ids=["normalised-there", "normalised-here"])
KERNEL = np.random.default_rng(1).standard_normal((1, 3, 3, 3)).astype(np.float32)


def make_graph(*nodes: NodeProto, batch: int | str = 1, **constants: NDArray[Any]) -> ModelProto:
    return saliency_model(*nodes, frames=(batch, 3, 32, 48), maps=(batch, None, None, None), **constants)


def make_convolution(batch: int | str = 1) -> ModelProto:
    """A saliency model in miniature."""
    return make_graph(
        convolution("input", "c"), helper.make_node("Sigmoid", ["c"], ["saliency_map"]), batch=batch, w=KERNEL
    )


def make_half() -> ModelProto:
    """The same in half precision inside, as the exporter makes it."""
    return make_graph(
        helper.make_node("Cast", ["input"], ["h"], to=TensorProto.FLOAT16),
        convolution("h", "c"),
        helper.make_node("Sigmoid", ["c"], ["s"]),
        helper.make_node("Cast", ["s"], ["saliency_map"], to=TensorProto.FLOAT),
        w=KERNEL.astype(np.float16),
    )


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
