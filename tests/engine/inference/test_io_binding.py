"""Frames in buffers that are bound once, as cards have them, with ONNX Runtime's CPU provider in a card's place."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import ModelProto
from tests.engine.inference.miniatures import (
    KERNEL,
    NORMALISED,
    draw_frames,
    make_convolution,
    make_half,
    maps_of,
    model_of,
    session_of,
)
from tests.small_models import enlarging

from saliency_engine.errors import ModelError
from saliency_engine.inference import session
from saliency_engine.inference.nvidia import Gpu
from saliency_engine.inference.session import Session
from saliency_engine.models.load import Model


@pytest.fixture
def bound(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Session]:
    """Sessions on the path of the cards, with ONNX Runtime's CPU provider in place of CUDA's."""

    def make(model: Model, *, uint16: bool = True, **settings: Any) -> Session:
        with monkeypatch.context() as patch:
            patch.setattr(session, "_open", lambda model, *_: Gpu(model, "cpu", uint16=uint16))
            return session_of(model, **settings)

    return make


@NORMALISED
@pytest.mark.parametrize(
    "made", [make_convolution("N"), make_convolution(1), make_convolution(8), make_half()], ids=["N", "1", "8", "half"]
)
def test_bound_buffers_give_the_same_maps(bound: Callable[..., Session], made: ModelProto, uint16: bool) -> None:
    frames = draw_frames(16)
    session = bound(model_of(made), uint16=uint16, batch_size=4)
    assert session.frames_per_call == (8 if made.graph.input[0].type.tensor_type.shape.dim[0].dim_value == 8 else 4)
    np.testing.assert_allclose(maps_of(session, frames), maps_of(session_of(model_of(made), 4), frames), atol=1e-5)


@pytest.mark.parametrize("name", ["saliency_student_v1", "saliency_student_v2"])
def test_students_of_a_fixed_batch_of_one_run_several_frames_a_call(
    bound: Callable[..., Session], models: Path, name: str
) -> None:
    model, frames = model_of(models / f"{name}.onnx"), draw_frames(3, 64, 64)
    session = bound(model, batch_size=3, size=(64, 64))
    assert (session.frames_per_call, session.remark) == (3, "3 frames a call")
    np.testing.assert_allclose(maps_of(session, frames), maps_of(session_of(model, size=(64, 64)), frames), atol=1e-5)


@pytest.mark.parametrize("kept", [1, 2])
def test_a_graph_that_copies_the_number_of_frames_runs_several_a_call(bound: Callable[..., Session], kept: int) -> None:
    """So U2NETP does, in every stage."""
    model, frames = model_of(enlarging(KERNEL, kept=kept)), draw_frames(6)
    session = bound(model, batch_size=3)
    assert session.frames_per_call == 3
    expected = maps_of(session_of(model), frames)
    np.testing.assert_allclose(maps_of(session, frames), expected, atol=1e-6)
    assert all(not np.allclose(expected[0], other, atol=1e-2) for other in expected[1:])


def test_batches_under_way_at_once_do_not_mix(bound: Callable[..., Session]) -> None:
    session, frames = bound(model_of(make_convolution()), batch_size=2), draw_frames(64)
    expected = maps_of(session_of(model_of(make_convolution())), frames)
    with ThreadPoolExecutor(3) as callers:
        orders = [np.random.default_rng(seed).permutation(64) for seed in range(12)]
        for order, maps in zip(orders, callers.map(lambda order: maps_of(session, frames[order]), orders), strict=True):
            np.testing.assert_allclose(maps, expected[order], atol=1e-5)


def test_a_size_the_graph_cannot_take_is_an_error_before_any_clip(bound: Callable[..., Session], models: Path) -> None:
    with pytest.raises(ModelError, match="does not run at 321x320"):
        bound(model_of(models / "saliency_student_v2.onnx"), size=(321, 320))


def test_frames_of_another_size_are_an_error(bound: Callable[..., Session]) -> None:
    with pytest.raises(ValueError, match=r"frames of shape \[4, 3, 33, 48\], not \[4, 3, 32, 48\]"):
        bound(model_of(make_convolution())).run(draw_frames(4, 33), np.zeros((4, 33, 48), np.float32))
