"""Sessions on real graphs: which models are taken, which are refused and why, and that batches do not leak."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper
from tests.engine.inference.miniatures import EVERY_BACKEND, NEEDS_OPENVINO, draw_frames, maps_of, model_of, session_of
from tests.small_models import convolution, saliency_model

from saliency_engine.errors import InferenceError, ModelError, ProviderError
from saliency_engine.inference import session as session_module
from saliency_engine.inference.session import Session
from saliency_engine.models.load import Model

Shape = Sequence[int | str]


def _graph(
    inputs: Shape,
    outputs: Shape,
    *,
    element: int = TensorProto.FLOAT,
    extra_output: bool = False,
    squeeze: bool = False,
) -> Model:
    """A saliency model in miniature: the sigmoid of a 3×3 convolution."""
    constants = {"w": np.random.default_rng(1).standard_normal((1, 3, 3, 3)).astype(np.float32)}
    first, last = "input", "saliency_map"
    nodes = []
    if element != TensorProto.FLOAT:
        first = "float"
        nodes.append(helper.make_node("Cast", ["input"], ["float"], to=TensorProto.FLOAT))
    if squeeze:
        last = "map4"
        constants["axes"] = np.array([1])
    nodes += [convolution(first, "conv"), helper.make_node("Sigmoid", ["conv"], [last])]
    if squeeze:
        nodes.append(helper.make_node("Squeeze", ["map4", "axes"], ["saliency_map"]))
    model = saliency_model(*nodes, frames=inputs, maps=outputs, **constants)
    model.graph.input[0].type.tensor_type.elem_type = element
    if extra_output:
        model.graph.output.append(helper.make_tensor_value_info("conv", TensorProto.FLOAT, outputs))
    return model_of(model)


CPU = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""


@EVERY_BACKEND
def test_free_dimensions_are_pinned_to_the_options(provider: str) -> None:
    session = session_of(_graph(["N", 3, "H", "W"], ["N", 1, "H", "W"]), provider=provider)
    assert (session.frames_per_call, session.height, session.width) == (1, 32, 48)  # a free batch is 1 on the CPU
    assert (session.map_height, session.map_width) == (32, 48)


@EVERY_BACKEND
def test_fixed_dimensions_win_over_the_options(provider: str) -> None:
    session = session_of(_graph([2, 3, 20, 24], [2, 1, 20, 24]), provider=provider)
    assert (session.frames_per_call, session.height, session.width) == (2, 20, 24)


def test_a_map_without_channel_axis_is_taken() -> None:
    with_channel = session_of(_graph([1, 3, 20, 24], [1, 1, 20, 24]))
    without = session_of(_graph([1, 3, 20, 24], [1, 20, 24], squeeze=True))
    frames = draw_frames(3, 20, 24)
    np.testing.assert_array_equal(maps_of(without, frames), maps_of(with_channel, frames))


@EVERY_BACKEND
@pytest.mark.parametrize("batch", ["N", 1, 8])
def test_maps_do_not_depend_on_batch_size_neighbours_or_library(batch: int | str, provider: str) -> None:
    frames = draw_frames(8, 32, 48)
    one_by_one = maps_of(session_of(_graph(["N", 3, "H", "W"], ["N", 1, "H", "W"]), batch_size=1), frames)
    session = session_of(_graph([batch, 3, "H", "W"], [batch, 1, "H", "W"]), batch_size=8, provider=provider)
    np.testing.assert_allclose(maps_of(session, frames), one_by_one, atol=1e-5, rtol=1e-4)
    order = np.random.default_rng(3).permutation(8)
    np.testing.assert_allclose(
        maps_of(session, np.ascontiguousarray(frames[order])), one_by_one[order], atol=1e-5, rtol=1e-4
    )


@pytest.mark.parametrize("name", ["saliency_student_v1", "saliency_student_v2"])
def test_students_run_at_a_pinned_size_one_frame_at_a_time(models: Path, name: str) -> None:
    data = (models / f"{name}.onnx").read_bytes()
    session = session_of(Model(name, name, "", data), batch_size=8, size=(320, 320))
    assert (session.frames_per_call, session.map_height, session.map_width) == (1, 320, 320)
    maps = maps_of(session, draw_frames(2, 320, 320))
    assert 0.0 <= maps.min() < maps.max() <= 1.0


@EVERY_BACKEND
def test_a_size_the_graph_cannot_take_is_an_error_before_any_clip(models: Path, provider: str) -> None:
    data = (models / "saliency_student_v2.onnx").read_bytes()
    with pytest.raises(ModelError, match="does not run at 321x320"):
        session_of(Model("student", "student.onnx", "", data), size=(321, 320), provider=provider)


@NEEDS_OPENVINO
def test_openvino_computes_the_students_in_full_precision(models: Path) -> None:
    model = Model("student", "student.onnx", "", (models / "saliency_student_v2.onnx").read_bytes())
    frames = draw_frames(1, 320, 320)
    expected, got = (maps_of(session_of(model, 1, (320, 320), provider), frames) for provider in ("cpu", "openvino"))
    np.testing.assert_allclose(got, expected, atol=1e-5, rtol=1e-4)  # bfloat16 is 0.05 off


@NEEDS_OPENVINO
@pytest.mark.skipif(Path("/dev/nvidia0").exists(), reason="this machine has a GPU: auto may well take it")
def test_auto_takes_the_fastest_that_works_and_says_which() -> None:
    assert session_of(_graph([1, 3, 8, 8], [1, 1, 8, 8]), provider="auto").provider == "OpenVINO CPU"


def test_bfloat16_is_an_error_where_it_does_not_run() -> None:
    with pytest.raises(ProviderError, match="bfloat16 does not run with --provider cpu: give --provider openvino"):
        Session(
            _graph([1, 3, 8, 8], [1, 1, 8, 8]),
            provider="cpu",
            precision="bfloat16",
            threads=1,
            batch_size=1,
            model_size=(8, 8),
        )


@NEEDS_OPENVINO
@pytest.mark.skipif("bf16" not in CPU, reason="this processor does not compute in bfloat16")
def test_bfloat16_is_near_the_students_own_maps(models: Path) -> None:
    model = Model("student", "student.onnx", "", (models / "saliency_student_v2.onnx").read_bytes())
    session = Session(model, provider="auto", precision="bfloat16", threads=1, batch_size=1, model_size=(320, 320))
    assert session.provider == "OpenVINO CPU bfloat16"
    frames = draw_frames(1, 320, 320)
    expected, got = maps_of(session_of(model, 1, (320, 320)), frames), maps_of(session, frames)
    assert np.corrcoef(expected.ravel(), got.ravel())[0, 1] > 0.998
    assert np.abs(got - expected).max() > 1e-4  # or it computed in float32 after all


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (_graph([1, 3, 8, 8], [1, 1, 8, 8], extra_output=True), "must have one float32 output"),
        (_graph([1, 3, 8, 8], [1, 1, 8, 8], element=TensorProto.UINT8), "must have one float32 input"),
        (Model("no", "no.onnx", "", b"this is no model"), "cannot load the model no.onnx"),
        (Model("empty", "empty.onnx", "", b""), "cannot load the model empty.onnx"),
    ],
)
@EVERY_BACKEND
def test_what_is_no_saliency_model_is_refused_with_the_reason(model: Model, reason: str, provider: str) -> None:
    with pytest.raises(ModelError, match=reason):
        session_of(model, provider=provider)


def test_many_channels_are_no_saliency_map() -> None:
    node = helper.make_node("Sigmoid", ["input"], ["saliency_map"])
    model = saliency_model(node, frames=(1, 3, 8, 8), maps=(1, 3, 8, 8))
    onnx.checker.check_model(model)
    with pytest.raises(ModelError, match=r"map of shape \[1, 3, 8, 8\]"):
        session_of(model_of(model))


@EVERY_BACKEND
def test_frames_of_another_size_are_an_error(provider: str) -> None:
    session = session_of(_graph([1, 3, 8, 8], [1, 1, 8, 8]), provider=provider)
    with pytest.raises(ValueError, match=r"frames of shape \[1, 3, 9, 8\], not \[1, 3, 8, 8\]"):
        session.run(draw_frames(1, 9, 8), np.zeros((1, 8, 8), np.float32))


def test_a_failing_run_says_why() -> None:
    """A graph that looks up the brightest value in a table of one: white is not in it."""
    nodes = [
        helper.make_node("ReduceMax", ["input"], ["brightest"], keepdims=0),
        helper.make_node("Mul", ["brightest", "scale"], ["scaled"]),
        helper.make_node("Cast", ["scaled"], ["index"], to=TensorProto.INT64),
        helper.make_node("Gather", ["table", "index"], ["value"]),
        helper.make_node("ReduceMean", ["input"], ["grey"], axes=[1]),
        helper.make_node("Mul", ["grey", "value"], ["saliency_map"]),
    ]
    table = np.ones(1, np.float32)
    constants: dict[str, NDArray[Any]] = {"table": table, "scale": np.array(0.4, np.float32)}
    session = session_of(model_of(saliency_model(*nodes, frames=(1, 3, 8, 8), maps=(1, 1, 8, 8), **constants)))
    with pytest.raises(InferenceError, match="out of data bounds"):
        session.run(np.full((1, 3, 8, 8), 65535, np.uint16), np.zeros((1, 8, 8), np.float32))


def test_want_of_memory_has_words(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(session_module, "try_graph", fail)
    with pytest.raises(ModelError, match=r"does not run at 48x32: there is not enough memory$"):
        session_of(_graph(["N", 3, "H", "W"], ["N", 1, "H", "W"]))
