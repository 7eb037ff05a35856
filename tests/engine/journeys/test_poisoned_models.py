"""Models that give no map to be trusted: every row says so, and no table holds a number from them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pyarrow.parquet as pq
import pytest
from onnx import TensorProto, helper, numpy_helper
from tests.in_process import run
from tests.rows import read_rows, write_clips
from tests.small_models import WEIGHTS, convolution, miniature, saliency_model

from saliency_engine.models.graph.inspect import read_graph

EVERY_LIBRARY = pytest.mark.parametrize("provider", ["cpu", "openvino"])
Model = onnx.ModelProto
NEARLY_WHITE = np.float32(2.3)  # of 2.64, in the frames as the model gets them


def _with_weight(value: float, at: int = 4) -> Model:
    weights = WEIGHTS.copy()
    weights.flat[at] = value
    return miniature(weights=weights)


def _no_sigmoid() -> Model:
    return saliency_model(convolution("input", "saliency_map"), w=WEIGHTS)


def _nan_at_run_time() -> Model:
    """The root of the normalised frame, which is negative where the frame is dark."""
    nodes = helper.make_node("Sqrt", ["c"], ["s"]), helper.make_node("Tanh", ["s"], ["saliency_map"])
    return saliency_model(convolution("input", "c"), *nodes, w=WEIGHTS)


def _infinite_at_run_time() -> Model:
    nodes = (
        convolution("input", "c"),
        helper.make_node("Mul", ["c", "zero"], ["z"]),
        helper.make_node("Abs", ["z"], ["a"]),
        helper.make_node("Reciprocal", ["a"], ["saliency_map"]),
    )
    return saliency_model(*nodes, w=WEIGHTS, zero=np.zeros(1, np.float32))


def _nan_for_all() -> Model:
    """0 / 0, from sound weights."""
    nodes = (
        convolution("input", "c"),
        helper.make_node("Mul", ["c", "zero"], ["z"]),
        helper.make_node("Div", ["z", "z"], ["saliency_map"]),
    )
    return saliency_model(*nodes, w=WEIGHTS, zero=np.zeros(1, np.float32))


def _nan_where_it_is_white() -> Model:
    """Sound for the pictures at the start, not for the real clips."""
    nodes = (
        convolution("input", "c"),
        helper.make_node("ReduceMax", ["input"], ["peak"], keepdims=1),
        helper.make_node("Sub", ["nearly_white", "peak"], ["under"]),
        helper.make_node("Sqrt", ["under"], ["root"]),
        helper.make_node("Add", ["c", "root"], ["sum"]),
        helper.make_node("Sigmoid", ["sum"], ["saliency_map"]),
    )
    return saliency_model(*nodes, w=WEIGHTS, nearly_white=NEARLY_WHITE)


def _shape_by_content() -> Model:
    """A map of 48 columns for pictures without white, as at the start, and of 32 for the real clips."""
    return saliency_model(
        convolution("input", "c"),
        helper.make_node("Sigmoid", ["c"], ["whole"]),
        helper.make_node("Sub", ["input", "nearly_white"], ["over"]),
        helper.make_node("Relu", ["over"], ["bright"]),
        helper.make_node("ReduceMax", ["bright"], ["peak"], keepdims=0),
        helper.make_node("Mul", ["peak", "big"], ["large"]),
        helper.make_node("Min", ["large", "sixteen"], ["cut"]),
        helper.make_node("Sub", ["width", "cut"], ["end"]),
        helper.make_node("Reshape", ["end", "one"], ["end1"]),
        helper.make_node("Cast", ["end1"], ["ends"], to=TensorProto.INT64),
        helper.make_node("Slice", ["whole", "starts", "ends", "axes"], ["saliency_map"]),
        maps=("N", 1, 32, "W"),
        w=WEIGHTS,
        nearly_white=NEARLY_WHITE,
        big=np.float32(1e6),
        sixteen=np.float32(16),
        width=np.float32(48),
        one=np.array([1]),
        starts=np.array([0]),
        axes=np.array([3]),
    )


POISONED: dict[str, tuple[Callable[[], Model], str]] = {
    "a NaN weight": (lambda: _with_weight(np.nan), "weight 'w' holds NaN"),
    "an infinite weight": (lambda: _with_weight(-np.inf), "weight 'w' holds infinity"),
    "NaN for some frames": (_nan_where_it_is_white, "NaN or infinite"),
    "no sigmoid": (_no_sigmoid, "outside [0, 1]"),
    "a shape that goes by content": (_shape_by_content, "a map of shape [1, 1, 32, 32]"),
}


def _compute(tmp_path: Path, clips: dict[str, Path], model: Model, provider: str, code: int) -> list[dict[str, Any]]:
    """Rows as JSON lines from one library, as Parquet from the other."""
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    source = write_clips(tmp_path / "in.jsonl", clips.values())
    output = tmp_path / ("out.jsonl" if provider == "cpu" else "out.parquet")
    model_path = tmp_path / "model.onnx"
    run("--input", source, "--output", output, "--model-path", model_path, "--provider", provider, code=code)
    rows: list[dict[str, Any]] = read_rows(output) if provider == "cpu" else pq.read_table(output).to_pylist()
    assert len(rows) == len(clips)
    return rows


@EVERY_LIBRARY
@pytest.mark.parametrize("name", POISONED)
def test_a_poisoned_model_puts_no_number_into_a_table(
    tmp_path: Path, clips: dict[str, Path], name: str, provider: str
) -> None:
    build, reason = POISONED[name]
    for row in _compute(tmp_path, clips, build(), provider, code=1):
        assert (row["saliency_status"], row["saliency_mean"], row["saliency_var"]) == ("model-failed", None, None)
        assert reason in row["saliency_error"]


@EVERY_LIBRARY
@pytest.mark.parametrize("build", [_nan_at_run_time, _infinite_at_run_time, _nan_for_all])
def test_numbers_that_are_never_finite_are_one_error(
    tmp_path: Path, clips: dict[str, Path], build: Callable[[], Model], provider: str
) -> None:
    (tmp_path / "model.onnx").write_bytes(build().SerializeToString())
    source, output = write_clips(tmp_path / "in.jsonl", clips.values()), tmp_path / "out.jsonl"
    done = run(
        "--input", source, "--output", output, "--model-path", tmp_path / "model.onnx", "--provider", provider, code=2
    )
    assert (
        b"gives maps with NaN or infinite values for any picture: give another model, or another --precision"
        in done.stderr
    )
    assert not output.exists()


@EVERY_LIBRARY
def test_a_constant_map_has_its_mean_and_no_variance(tmp_path: Path, clips: dict[str, Path], provider: str) -> None:
    model = miniature(weights=np.zeros_like(WEIGHTS))
    for row in _compute(tmp_path, clips, model, provider, code=0):
        assert row["saliency_mean"] == pytest.approx(0.5, abs=1e-6)
        assert row["saliency_var"] == pytest.approx(0.0, abs=1e-12)


def _spelled(kind: int, value: float, *, raw: bool) -> onnx.TensorProto:
    numbers = [0.5, value]
    if not raw:
        return helper.make_tensor("w2", kind, [2], numbers)
    dtype = helper.tensor_dtype_to_np_dtype(kind)
    return helper.make_tensor("w2", kind, [2], np.array(numbers).astype(dtype).tobytes(), raw=True)


@pytest.mark.parametrize("raw", [True, False])
@pytest.mark.parametrize("kind", ["FLOAT", "FLOAT16", "BFLOAT16", "DOUBLE"])
def test_nan_is_found_however_weights_are_spelled(kind: str, raw: bool) -> None:
    for value, fault in ((np.nan, "NaN"), (np.inf, "infinity"), (0.25, "")):
        model = miniature(helper.make_node("Neg", ["w2"], ["unused"]))
        model.graph.initializer.append(_spelled(getattr(TensorProto, kind), value, raw=raw))
        reason = read_graph(model.SerializeToString()).fault
        assert fault in reason
        assert bool(reason) == bool(fault)


def test_a_single_infinity_is_a_bound() -> None:
    model = miniature(helper.make_node("Neg", ["most"], ["least"]))
    model.graph.initializer.append(numpy_helper.from_array(np.array(np.inf, np.float32), "most"))
    assert read_graph(model.SerializeToString()).fault == ""


def test_the_students_are_sound(models: Path) -> None:
    for path in models.glob("*.onnx"):
        assert read_graph(path.read_bytes()).fault == ""
