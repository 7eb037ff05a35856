"""Operators that OpenVINO computes otherwise than ONNX says do not run there; others give ONNX Runtime's maps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper
from tests.engine.inference.miniatures import NEEDS_OPENVINO
from tests.small_models import WEIGHTS, convolution, saliency_model

from saliency_engine.config import RunConfig
from saliency_engine.errors import ModelError, ProviderError
from saliency_engine.inference.session import Session, open_session
from saliency_engine.models.load import load_model

node = helper.make_node
HALF = np.array([1, 1, 0.5, 0.5], np.float32)
KERNEL = np.arange(9, dtype=np.float32).reshape(1, 1, 3, 3) / 20


def model(*nodes: NodeProto, opset: int = 18, **constants: NDArray[Any]) -> ModelProto:
    """``nodes`` from the convolution ``c`` to ``z``, the map's argument."""
    last = node("Sigmoid", ["z"], ["saliency_map"])
    nodes = convolution("input", "c"), *nodes, last
    made = saliency_model(*nodes, frames=("N", 3, 32, 48), maps=("N", 1, "h", "w"), w=WEIGHTS, **constants)
    made.opset_import[0].version = opset
    return made


def resize(scales: NDArray[np.float32] = HALF, **attributes: Any) -> ModelProto:
    return model(node("Resize", ["c", "", "scales"], ["z"], **attributes), scales=scales)


def pool(**attributes: Any) -> ModelProto:
    return model(node("AveragePool", ["c"], ["z"], kernel_shape=[3, 3], strides=[2, 2], **attributes))


def widen(**attributes: Any) -> ModelProto:
    return model(node("ConvTranspose", ["c", "k"], ["z"], strides=[2, 2], **attributes), k=KERNEL)


def in_a_branch() -> ModelProto:
    given = helper.make_tensor_value_info("r", TensorProto.FLOAT, None)
    body = helper.make_graph([node("Resize", ["c", "", "scales"], ["r"], mode="linear", antialias=1)], "b", [], [given])
    return model(node("If", ["yes"], ["z"], then_branch=body, else_branch=body), yes=np.array(True), scales=HALF)


def softmax(opset: int, **attributes: Any) -> ModelProto:
    return model(node("Softmax", ["c"], ["z"], **attributes), opset=opset)


def fitted(policy: str) -> ModelProto:
    attributes: Any = {"mode": "linear", "keep_aspect_ratio_policy": policy, "axes": [2, 3]}
    return model(node("Resize", ["c", "", "", "sizes"], ["z"], **attributes), sizes=np.array([50, 77]))


MISREAD = {
    "not larger": fitted("not_larger"),
    "not smaller": fitted("not_smaller"),
    "softmax over all": softmax(11),
    "softmax from the third axis on": softmax(12, axis=2),
    "antialias": resize(mode="linear", antialias=1),
    "antialias, cubic": resize(mode="cubic", antialias=1),
    "exclude_outside": resize(mode="cubic", exclude_outside=1),
    "ceil_mode and count_include_pad": pool(ceil_mode=1, pads=[1, 1, 1, 1], count_include_pad=1),
    "auto_pad": widen(auto_pad="SAME_UPPER"),
    "auto_pad, lower": widen(auto_pad="SAME_LOWER"),
    "output_shape": widen(output_shape=[64, 96]),
    "in a branch": in_a_branch(),
}
READ = {
    "stretched": fitted("stretch"),
    "softmax over the last axis": softmax(11, axis=3),
    "softmax over the last axis from behind": softmax(12, axis=-1),
    "softmax over all, set 10": softmax(10),
    "softmax, set 13": softmax(13, axis=2),
    "linear": resize(mode="linear"),
    "antialias off": resize(mode="linear", antialias=0),
    "cubic": resize(mode="cubic", exclude_outside=0, coordinate_transformation_mode="align_corners"),
    "ceil_mode": pool(ceil_mode=1, pads=[1, 1, 1, 1]),
    "count_include_pad": pool(count_include_pad=1, pads=[1, 1, 1, 1]),
    "valid": widen(auto_pad="VALID"),
    "pads": widen(pads=[1, 0, 0, 1], output_padding=[1, 1]),
    "convolution with auto_pad": model(
        node("Conv", ["c", "k"], ["z"], auto_pad="SAME_LOWER", strides=[2, 2]), k=KERNEL[:, :, :2, :2]
    ),
}


def opened(folder: Path, made: ModelProto, provider: str) -> Session:
    path = folder / "model.onnx"
    path.write_bytes(made.SerializeToString())
    config = RunConfig(model_path=str(path), provider=provider, threads=1)
    return open_session(load_model(config), config)


def maps_of(session: Session) -> NDArray[np.float32]:
    frames = np.random.default_rng(5).integers(0, 65536, (2, 3, session.height, session.width), np.uint16)
    maps = np.empty((2, session.map_height, session.map_width), np.float32)
    session.run(frames, maps)
    return maps


@NEEDS_OPENVINO
@pytest.mark.parametrize("name", MISREAD)
def test_what_openvino_misreads_runs_elsewhere(tmp_path: Path, name: str) -> None:
    with pytest.raises(ProviderError, match=r"^OpenVINO computes .* otherwise than ONNX says: give --provider cpu$"):
        opened(tmp_path, MISREAD[name], "openvino")
    session = opened(tmp_path, MISREAD[name], "auto")
    assert session.provider != "OpenVINO CPU"
    np.testing.assert_allclose(maps_of(session), maps_of(opened(tmp_path, MISREAD[name], "cpu")), atol=1e-4)


@NEEDS_OPENVINO
@pytest.mark.parametrize("name", READ)
def test_the_rest_gives_the_same_maps(tmp_path: Path, name: str) -> None:
    maps, expected = (maps_of(opened(tmp_path, READ[name], provider)) for provider in ("openvino", "cpu"))
    np.testing.assert_allclose(maps, expected, atol=1e-5)


@pytest.mark.parametrize("frames", [1, 4, "N"])
def test_normalisation_in_training_mode_is_refused(tmp_path: Path, frames: int | str) -> None:
    """ONNX Runtime gives other maps with every run."""
    one = np.ones(1, np.float32)
    names = ["c", "g", "b", "m", "v"]
    training = node("BatchNormalization", names, ["z", "m2", "v2"], training_mode=1)
    made = model(training, opset=17, g=one, b=one, m=one, v=one)
    made.graph.input[0].type.tensor_type.shape.dim[0].CopyFrom(
        helper.make_tensor_value_info("x", TensorProto.FLOAT, [frames]).type.tensor_type.shape.dim[0]
    )
    for provider in ("cpu", "openvino"):
        with pytest.raises(ModelError, match="its BatchNormalization is in training mode; export it for inference"):
            opened(tmp_path, made, provider)
    made.graph.node[1].attribute[0].i = 0
    del made.graph.node[1].output[1:]
    assert np.isfinite(maps_of(opened(tmp_path, made, "cpu"))).all() if frames != 4 else True
