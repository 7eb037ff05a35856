"""Graphs that mix the frames of a call are refused before any clip; others are not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import helper
from tests.engine.inference.miniatures import EVERY_BACKEND, draw_frames, maps_of, model_of, session_of
from tests.small_models import convolution, saliency_model

from saliency_engine.errors import ModelError
from saliency_engine.models.load import Model


def _mixing(*nodes: onnx.NodeProto, frames: int | str = 4, **constants: NDArray[Any]) -> Model:
    """A miniature whose convolution ``c`` the ``nodes`` turn into ``m``, a map's argument."""
    weights = np.random.default_rng(1).standard_normal((1, 3, 3, 3)).astype(np.float32)
    last = helper.make_node("Sigmoid", ["m"], ["saliency_map"])
    shape = (frames, 1, 32, 48)
    made = saliency_model(
        convolution("input", "c"), *nodes, last, frames=(frames, 3, 32, 48), maps=shape, w=weights, **constants
    )
    return model_of(made)


node = helper.make_node
MIXING: dict[str, Callable[[], Model]] = {
    "mean of the batch": lambda: _mixing(node("ReduceMean", ["c"], ["b"], axes=[0]), node("Sub", ["c", "b"], ["m"])),
    "largest of the batch": lambda: _mixing(node("ReduceMax", ["c"], ["b"], axes=[0]), node("Sub", ["c", "b"], ["m"])),
    "mean of everything": lambda: _mixing(node("ReduceMean", ["c"], ["b"]), node("Sub", ["c", "b"], ["m"])),
    "the frame before": lambda: _mixing(
        node("Slice", ["c", "zero", "three"], ["old"]),
        node("Slice", ["c", "zero", "one"], ["first"]),
        node("Concat", ["first", "old"], ["before"], axis=0),
        node("Sub", ["c", "before"], ["m"]),
        zero=np.array([0]),
        one=np.array([1]),
        three=np.array([3]),
    ),
    "the frame behind": lambda: _mixing(
        node("Slice", ["c", "one", "four"], ["new"]),
        node("Slice", ["c", "three", "four"], ["last"]),
        node("Concat", ["new", "last"], ["after"], axis=0),
        node("Add", ["c", "after"], ["m"]),
        one=np.array([1]),
        three=np.array([3]),
        four=np.array([4]),
    ),
    "softmax over the batch": lambda: _mixing(node("Softmax", ["c"], ["m"], axis=0)),
    "place in the batch": lambda: _mixing(
        node("Add", ["c", "places"], ["m"]), places=np.arange(4, dtype=np.float32).reshape(4, 1, 1, 1)
    ),
    "two frames": lambda: _mixing(node("ReduceMean", ["c"], ["b"], axes=[0]), node("Sub", ["c", "b"], ["m"]), frames=2),
}


@EVERY_BACKEND
@pytest.mark.parametrize("name", MIXING)
def test_frames_that_mix_are_one_error_before_any_clip(name: str, provider: str) -> None:
    with pytest.raises(
        ModelError, match=r"^miniature.onnx mixes the frames of a call, which may be of different clips"
    ):
        session_of(MIXING[name](), provider=provider)


@EVERY_BACKEND
@pytest.mark.parametrize("frames", [1, "N"])
def test_one_frame_a_call_mixes_with_none(frames: int | str, provider: str) -> None:
    model = _mixing(node("ReduceMean", ["c"], ["b"], axes=[0]), node("Add", ["c", "b"], ["m"]), frames=frames)
    assert maps_of(session_of(model, provider=provider), draw_frames(3, 32, 48)).shape == (3, 32, 48)


@EVERY_BACKEND
@pytest.mark.parametrize("frames", [2, 4, 8])
def test_what_looks_at_a_whole_frame_mixes_nothing(frames: int, provider: str) -> None:
    """Mean and peak of each frame, of each of its own."""
    nodes = (
        node("ReduceMean", ["c"], ["b"], axes=[1, 2, 3]),
        node("Sub", ["c", "b"], ["d"]),
        node("ReduceMax", ["d"], ["p"], axes=[1, 2, 3]),
        node("Div", ["d", "p"], ["m"]),
    )
    session = session_of(_mixing(*nodes, frames=frames), provider=provider)
    assert session.frames_per_call == frames


def test_a_graph_that_divides_by_nothing_in_a_flat_frame_is_taken() -> None:
    """Sound for every clip but one of one colour; at the start nothing is flat."""
    nodes = (
        node("ReduceMin", ["c"], ["low"], axes=[1, 2, 3]),
        node("ReduceMax", ["c"], ["high"], axes=[1, 2, 3]),
        node("Sub", ["high", "low"], ["span"]),
        node("Sub", ["c", "low"], ["over"]),
        node("Div", ["over", "span"], ["m"]),
    )
    maps = maps_of(session_of(_mixing(*nodes, frames=1)), draw_frames(1, 32, 48))
    assert np.isfinite(maps).all()
