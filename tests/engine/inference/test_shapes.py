"""Shapes that files state are not always so: right maps all the same, or one error before any clip."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper
from tests.engine.inference.miniatures import EVERY_BACKEND
from tests.in_process import run
from tests.rows import read_rows, write_clips
from tests.small_models import WEIGHTS, Shape, convolution, saliency_model

from saliency_engine.config import RunConfig
from saliency_engine.errors import ModelError
from saliency_engine.inference.nvidia import Gpu
from saliency_engine.inference.session import Session, open_session
from saliency_engine.models.load import load_model

HALF = (
    helper.make_node("Conv", ["input", "w"], ["conv"], pads=[1, 1, 1, 1], strides=[2, 2]),
    helper.make_node("Sigmoid", ["conv"], ["saliency_map"]),
)
"""Gives a map of half the frame's height and width."""
SAME = convolution("input", "conv"), helper.make_node("Sigmoid", ["conv"], ["saliency_map"])
node = helper.make_node


def open_model(folder: Path, model: ModelProto, provider: str, size: str = "80x48") -> Session:
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    config = RunConfig(model_path=str(path), provider=provider, model_size=size, threads=2)
    return open_session(load_model(config), config)


def compute_maps(session: Session) -> NDArray[np.float32]:
    shape = (2 * session.frames_per_call, 3, session.height, session.width)
    frames = np.random.default_rng(5).integers(0, 65536, shape, np.uint16)
    maps = np.full((len(frames), session.map_height, session.map_width), np.nan, np.float32)
    session.run(frames, maps)
    session.close()
    return maps


def small(frames: Shape, maps: Shape, inner: Shape = (), nodes: tuple[NodeProto, ...] = SAME) -> ModelProto:
    """``inner``: what is said of the convolution's result."""
    model = saliency_model(*nodes, frames=frames, maps=maps, w=WEIGHTS)
    if inner:
        model.graph.value_info.append(helper.make_tensor_value_info("conv", TensorProto.FLOAT, inner))
    return model


def without_input_shape() -> ModelProto:
    model = small(("N", 3, "H", "W"), ("N", 1, "H", "W"))
    model.graph.input[0].type.tensor_type.ClearField("shape")
    model.graph.output[0].type.tensor_type.ClearField("shape")
    return model


FREE: dict[str, ModelProto] = {
    "0 for the batch": small((0, 3, 48, 80), (0, 1, 48, 80)),
    "0 for height and width": small((1, 3, 0, 0), (1, 1, 0, 0)),
    "0 for everything": small((0, 0, 0, 0), (0, 0, 0, 0), (0, 0, 0, 0)),
    "-1 for everything": small((-1, -1, -1, -1), (-1, 1, -1, -1)),
    "one name for two": small(("N", 3, "size", "size"), ("N", 1, "size", "size"), ("N", 1, "size", "size")),
    "one name for all": small(("?", "?", "?", "?"), ("?", "?", "?", "?")),
    "the batch's name for the height": small(("N", 3, "N", "W"), ("N", 1, "N", "W")),
    "no names": small((None, 3, None, None), (None, 1, None, None)),
    "no shape": without_input_shape(),
    "a map with its sizes exchanged": small(("N", 3, "H", "W"), ("N", 1, "W", "H")),
    "a map of 0": small(("N", 3, "H", "W"), (0, 0, 0, 0), (0, 0, 0, 0)),
    "a map without channels": small(("N", 3, "H", "W"), ("N", "H", "W")),
    "a map of another batch": small(("N", 3, 48, 80), (4, 1, 48, 80)),
}


@EVERY_BACKEND
@pytest.mark.parametrize("name", FREE)
def test_sizes_written_in_any_way_give_the_same_maps(tmp_path: Path, name: str, provider: str) -> None:
    expected = compute_maps(open_model(tmp_path, small((1, 3, 48, 80), (1, 1, 48, 80)), "cpu"))
    session = open_model(tmp_path, FREE[name], provider)
    assert (session.frames_per_call, session.height, session.width) == (1, 48, 80)
    np.testing.assert_allclose(compute_maps(session), expected, atol=1e-6)


@EVERY_BACKEND
@pytest.mark.parametrize("sizes", [("N", 1, "H", "W"), (1, 1, 48, 80), (1, 1, 0, 0)])
def test_a_map_smaller_than_stated_has_its_own_size(tmp_path: Path, sizes: Shape, provider: str) -> None:
    session = open_model(tmp_path, small(("N", 3, "H", "W"), sizes, sizes, HALF), provider)
    assert (session.map_height, session.map_width) == (24, 40)
    assert np.isfinite(compute_maps(session)).all()


@EVERY_BACKEND
def test_weights_may_stand_among_the_inputs_before_the_frames(tmp_path: Path, provider: str) -> None:
    model = small((0, 3, 0, 0), (0, 1, 0, 0))
    model.graph.input.insert(0, helper.make_tensor_value_info("w", TensorProto.FLOAT, WEIGHTS.shape))
    assert compute_maps(open_model(tmp_path, model, provider)).shape == (2, 48, 80)


def without_batch() -> ModelProto:
    return saliency_model(node("Sigmoid", ["input"], ["saliency_map"]), frames=(3, 48, 80), maps=(3, 48, 80))


def reshaped(*shape: int) -> ModelProto:
    last = node("Reshape", ["s", "shape"], ["saliency_map"])
    nodes = (SAME[0], node("Sigmoid", ["conv"], ["s"]), last)
    return saliency_model(*nodes, frames=("N", 3, "H", "W"), maps=("N", 1, "H", "W"), w=WEIGHTS, shape=np.array(shape))


REFUSED: dict[str, tuple[Callable[[], ModelProto], str]] = {
    "another size inside": (lambda: reshaped(1, 1, 320, 320), "does not run at 80x48: "),
    "another number of frames inside": (lambda: reshaped(4, 1, -1, 80), r"gives a map of shape \[4, 1, 12, 80\]"),
    "a map of two dimensions": (lambda: reshaped(48, 80), r"map of shape \[48, 80\], but it must be \[1, 1, H, W\]"),
    "a map of five": (lambda: reshaped(1, 1, 1, 48, 80), r"gives a map of shape \[1, 1, 1, 48, 80\]"),
    "channels last": (lambda: reshaped(1, 48, 80, 1), r"gives a map of shape \[1, 48, 80, 1\]"),
    "frames without batch": (without_batch, r"has input float32 \[3, 48, 80\]\. Export it"),
    "four channels": (lambda: small((1, 4, 0, 0), (1, 1, 0, 0)), r"has input float32 \[1, 4, \?, \?\]|cannot load"),
    "a frame that no memory holds": (lambda: small((1, 3, 2**40, 2**40), (1, 1, 2**40, 2**40)), "does not run at 1099"),
    "frames that no memory holds": (lambda: small((2**40, 3, 8, 8), (2**40, 1, 8, 8)), "8x8, 1099511627776 frames a"),
}


@EVERY_BACKEND
@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_run_is_one_error_before_any_clip(tmp_path: Path, name: str, provider: str) -> None:
    build, reason = REFUSED[name]
    with pytest.raises(ModelError, match=reason):
        open_model(tmp_path, build(), provider)


@EVERY_BACKEND
@pytest.mark.parametrize("kind", ["uint8", "uint16", "float16", "bfloat16"])
def test_an_input_of_another_type_is_named(tmp_path: Path, kind: str, provider: str) -> None:
    cast = node("Cast", ["input"], ["f"], to=TensorProto.FLOAT)
    model = saliency_model(cast, convolution("f", "c"), node("Sigmoid", ["c"], ["saliency_map"]), w=WEIGHTS)
    model.graph.input[0].type.tensor_type.elem_type = getattr(TensorProto, kind.upper())
    with pytest.raises(ModelError, match=rf"but it has input {kind} \[\?, 3, 32, 48\]. Export it with one such input"):
        open_model(tmp_path, model, provider)


@EVERY_BACKEND
def test_sequences_are_refused(tmp_path: Path, provider: str) -> None:
    model = small(("N", 3, 48, 80), ("N", 1, 48, 80))
    model.graph.input[0].CopyFrom(helper.make_tensor_sequence_value_info("input", TensorProto.FLOAT, ["N", 3, 48, 80]))
    with pytest.raises(ModelError):
        open_model(tmp_path, model, provider)


def test_a_graph_for_one_frame_says_how_many_it_was_given(tmp_path: Path) -> None:
    """On a card; its stand-in here is the processor."""
    path = tmp_path / "model.onnx"
    path.write_bytes(reshaped(1, 1, 48, 80).SerializeToString())
    with pytest.raises(ModelError, match=r"requested shape:\{1,1,48,80\}"):
        Gpu(load_model(RunConfig(model_path=str(path))), "cpu").compile((4, 3, 48, 80), 2)


@EVERY_BACKEND
def test_a_mask_gives_the_numbers_it_should(tmp_path: Path, provider: str) -> None:
    mask = np.triu(np.full((48, 80), -np.inf, np.float32), 1)
    nodes = (
        node("ReduceMean", ["input"], ["grey"], axes=[1], keepdims=1),
        node("Add", ["grey", "mask"], ["masked"]),
        node("Softmax", ["masked"], ["saliency_map"], axis=-1),
    )
    model = saliency_model(*nodes, frames=("N", 3, 48, 80), maps=("N", 1, 48, 80), mask=mask)
    maps = compute_maps(open_model(tmp_path, model, provider))
    np.testing.assert_allclose(maps.sum(axis=-1), 1, rtol=1e-5)
    assert (maps[:, np.isinf(mask)] == 0).all()
    assert (maps[:, ~np.isinf(mask)] > 0).all()


@EVERY_BACKEND
@pytest.mark.parametrize("name", ["0 for the batch", "0 for height and width", "one name for two"])
def test_a_run_has_rows_that_are_ok(tmp_path: Path, clips: dict[str, Path], name: str, provider: str) -> None:
    (tmp_path / "model.onnx").write_bytes(FREE[name].SerializeToString())
    table = write_clips(tmp_path / "in.jsonl", [clips["carphone_pristine"]])
    options = ("--model-path", tmp_path / "model.onnx", "--model-size", "80x48", "--provider", provider)
    run("--input", table, "--output", tmp_path / "out.jsonl", *options)
    assert [row["saliency_status"] for row in read_rows(tmp_path / "out.jsonl")] == ["ok"]


def test_the_students_run_as_they_are(models: Path) -> None:
    for path in models.glob("*.onnx"):
        assert load_model(RunConfig(model_path=str(path))).data == path.read_bytes()
