"""Sessions on real graphs: which models are taken, which are refused and why, and that batches do not leak."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper
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
    return _model(model)


def _model(made: onnx.ModelProto) -> Model:
    return Model("miniature", "miniature.onnx", "00", made.SerializeToString())


def _session(model: Model, batch_size: int = 4, size: tuple[int, int] = (48, 32), provider: str = "cpu") -> Session:
    return Session(model, provider=provider, threads=1, batch_size=batch_size, model_size=size)


def _frames(count: int, height: int, width: int) -> NDArray[np.uint16]:
    return np.random.default_rng(2).integers(0, 65536, (count, 3, height, width), np.uint16)


def _maps(session: Session, frames: NDArray[np.uint16]) -> NDArray[np.float32]:
    maps = np.empty((len(frames), session.map_height, session.map_width), np.float32)
    session.run(frames, maps)
    return maps


CPU = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
EVERY_BACKEND = pytest.mark.parametrize("provider", ["cpu", "openvino"])


@EVERY_BACKEND
def test_free_dimensions_are_pinned_to_the_options(provider: str) -> None:
    session = _session(_graph(["N", 3, "H", "W"], ["N", 1, "H", "W"]), provider=provider)
    assert (session.frames_per_call, session.height, session.width) == (1, 32, 48)  # a free batch is 1 on the CPU
    assert (session.map_height, session.map_width) == (32, 48)


@EVERY_BACKEND
def test_fixed_dimensions_win_over_the_options(provider: str) -> None:
    session = _session(_graph([2, 3, 20, 24], [2, 1, 20, 24]), provider=provider)
    assert (session.frames_per_call, session.height, session.width) == (2, 20, 24)


def test_a_map_without_channel_axis_is_taken() -> None:
    with_channel = _session(_graph([1, 3, 20, 24], [1, 1, 20, 24]))
    without = _session(_graph([1, 3, 20, 24], [1, 20, 24], squeeze=True))
    frames = _frames(3, 20, 24)
    np.testing.assert_array_equal(_maps(without, frames), _maps(with_channel, frames))


@EVERY_BACKEND
@pytest.mark.parametrize("batch", ["N", 1, 8])
def test_maps_do_not_depend_on_batch_size_neighbours_or_library(batch: int | str, provider: str) -> None:
    frames = _frames(8, 32, 48)
    one_by_one = _maps(_session(_graph(["N", 3, "H", "W"], ["N", 1, "H", "W"]), batch_size=1), frames)
    session = _session(_graph([batch, 3, "H", "W"], [batch, 1, "H", "W"]), batch_size=8, provider=provider)
    np.testing.assert_allclose(_maps(session, frames), one_by_one, atol=1e-5, rtol=1e-4)
    order = np.random.default_rng(3).permutation(8)
    np.testing.assert_allclose(
        _maps(session, np.ascontiguousarray(frames[order])), one_by_one[order], atol=1e-5, rtol=1e-4
    )


@pytest.mark.parametrize("name", ["saliency_student_v1", "saliency_student_v2"])
def test_students_run_at_a_pinned_size_one_frame_at_a_time(models: Path, name: str) -> None:
    data = (models / f"{name}.onnx").read_bytes()
    session = _session(Model(name, name, "", data), batch_size=8, size=(320, 320))
    assert (session.frames_per_call, session.map_height, session.map_width) == (1, 320, 320)
    maps = _maps(session, _frames(2, 320, 320))
    assert 0.0 <= maps.min() < maps.max() <= 1.0


@EVERY_BACKEND
def test_a_size_the_graph_cannot_take_is_an_error_before_any_clip(models: Path, provider: str) -> None:
    data = (models / "saliency_student_v2.onnx").read_bytes()
    with pytest.raises(ModelError, match="does not run at 321x320"):
        _session(Model("student", "student.onnx", "", data), size=(321, 320), provider=provider)


def test_openvino_computes_the_students_in_full_precision(models: Path) -> None:
    model = Model("student", "student.onnx", "", (models / "saliency_student_v2.onnx").read_bytes())
    frames = _frames(1, 320, 320)
    expected, got = (_maps(_session(model, 1, (320, 320), provider), frames) for provider in ("cpu", "openvino"))
    np.testing.assert_allclose(got, expected, atol=1e-5, rtol=1e-4)  # bfloat16 is 0.05 off


@pytest.mark.skipif(Path("/dev/nvidia0").exists(), reason="this machine has a GPU: auto may well take it")
def test_auto_takes_the_fastest_that_works_and_says_which() -> None:
    assert _session(_graph([1, 3, 8, 8], [1, 1, 8, 8]), provider="auto").provider == "OpenVINO CPU"


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


@pytest.mark.skipif("bf16" not in CPU, reason="this processor does not compute in bfloat16")
def test_bfloat16_is_near_the_students_own_maps(models: Path) -> None:
    model = Model("student", "student.onnx", "", (models / "saliency_student_v2.onnx").read_bytes())
    session = Session(model, provider="auto", precision="bfloat16", threads=1, batch_size=1, model_size=(320, 320))
    assert session.provider == "OpenVINO CPU bfloat16"
    frames = _frames(1, 320, 320)
    expected, got = _maps(_session(model, 1, (320, 320)), frames), _maps(session, frames)
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
        _session(model, provider=provider)


def test_many_channels_are_no_saliency_map() -> None:
    node = helper.make_node("Sigmoid", ["input"], ["saliency_map"])
    model = saliency_model(node, frames=(1, 3, 8, 8), maps=(1, 3, 8, 8))
    onnx.checker.check_model(model)
    with pytest.raises(ModelError, match=r"map of shape \[1, 3, 8, 8\]"):
        _session(_model(model))


@EVERY_BACKEND
def test_frames_of_another_size_are_an_error(provider: str) -> None:
    session = _session(_graph([1, 3, 8, 8], [1, 1, 8, 8]), provider=provider)
    with pytest.raises(ValueError, match=r"frames of shape \[1, 3, 9, 8\], not \[1, 3, 8, 8\]"):
        session.run(_frames(1, 9, 8), np.zeros((1, 8, 8), np.float32))


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
    session = _session(_model(saliency_model(*nodes, frames=(1, 3, 8, 8), maps=(1, 1, 8, 8), **constants)))
    with pytest.raises(InferenceError, match="out of data bounds"):
        session.run(np.full((1, 3, 8, 8), 65535, np.uint16), np.zeros((1, 8, 8), np.float32))


def _mixing(*nodes: onnx.NodeProto, frames: int | str = 4, **constants: NDArray[Any]) -> Model:
    """A miniature whose convolution ``c`` the ``nodes`` turn into ``m``, a map's argument."""
    weights = np.random.default_rng(1).standard_normal((1, 3, 3, 3)).astype(np.float32)
    last = helper.make_node("Sigmoid", ["m"], ["saliency_map"])
    shape = (frames, 1, 32, 48)
    made = saliency_model(
        convolution("input", "c"), *nodes, last, frames=(frames, 3, 32, 48), maps=shape, w=weights, **constants
    )
    return _model(made)


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
        _session(MIXING[name](), provider=provider)


@EVERY_BACKEND
@pytest.mark.parametrize("frames", [1, "N"])
def test_one_frame_a_call_mixes_with_none(frames: int | str, provider: str) -> None:
    model = _mixing(node("ReduceMean", ["c"], ["b"], axes=[0]), node("Add", ["c", "b"], ["m"]), frames=frames)
    assert _maps(_session(model, provider=provider), _frames(3, 32, 48)).shape == (3, 32, 48)


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
    session = _session(_mixing(*nodes, frames=frames), provider=provider)
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
    maps = _maps(_session(_mixing(*nodes, frames=1)), _frames(1, 32, 48))
    assert np.isfinite(maps).all()


def test_want_of_memory_has_words(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(session_module, "try_graph", fail)
    with pytest.raises(ModelError, match=r"does not run at 48x32: there is not enough memory$"):
        _session(_graph(["N", 3, "H", "W"], ["N", 1, "H", "W"]))
