"""Files that take and give pictures in other ways become models that do as the engine does, and compute the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import NodeProto, TensorProto, helper
from tests.exporter.rewrap.upstream_files import (
    D0,
    MEAN,
    SIZE,
    STD,
    draw_frames,
    made,
    make_file,
    refused,
    rewrap,
    run,
    sigmoid,
    signature,
    take,
)

H, W = SIZE
ONE_MAP = [("map", (1, 1, H, W))]


def node(operator: str, taken: list[str], given: str, **attributes: Any) -> NodeProto:
    return helper.make_node(operator, taken, [given], **attributes)


@pytest.fixture
def expected(tmp_path: Path) -> np.ndarray[Any, Any]:
    """The maps of the same network in the engine's own convention."""
    plain = make_file(tmp_path / "plain.onnx", [take(), *D0, sigmoid("d0", "map")], outputs=ONE_MAP)
    return np.concatenate([run(plain, frame[None]) for frame in draw_frames(2)])


def check(path: Path, expected: np.ndarray[Any, Any], *options: str, atol: float = 1e-5) -> None:
    model = made(path, *options, "--batch", "2")
    assert signature(model) == [("input", 1, [2, 3, H, W]), ("saliency_map", 1, [2, 1, H, W])]
    maps = run(model, draw_frames(2))
    assert expected.std() > 0.1, "flat maps prove nothing"
    np.testing.assert_allclose(maps, expected, rtol=0, atol=atol)


# Each takes what it says, and turns it itself into what the network was trained on.
NORMALISE = [node("Sub", ["rgb", "mean"], "less"), node("Div", ["less", "std"], "x")]
INPUTS: dict[str, tuple[list[NodeProto], dict[str, Any], list[str]]] = {
    "nhwc": ([node("Transpose", ["input.1"], "x", perm=[0, 3, 1, 2])], {"frames": (1, H, W, 3)}, ["--layout", "nhwc"]),
    "0-1": ([node("Identity", ["input.1"], "rgb"), *NORMALISE], {}, ["--range", "0-1"]),
    "0-255": ([node("Div", ["input.1", "white"], "rgb"), *NORMALISE], {}, ["--range", "0-255"]),
    "bgr": ([node("Gather", ["input.1", "order"], "x", axis=1)], {}, ["--channels", "bgr"]),
    "float16": ([node("Cast", ["input.1"], "x", to=TensorProto.FLOAT)], {"element": TensorProto.FLOAT16}, []),
    "uint8": (
        [node("Cast", ["input.1"], "f", to=TensorProto.FLOAT), node("Div", ["f", "white"], "rgb"), *NORMALISE],
        {"element": TensorProto.UINT8},
        [],
    ),
    "bgr 0-255 nhwc uint8": (
        [
            node("Cast", ["input.1"], "f", to=TensorProto.FLOAT),
            node("Transpose", ["f"], "nchw", perm=[0, 3, 1, 2]),
            node("Gather", ["nchw", "order"], "turned", axis=1),
            node("Div", ["turned", "white"], "rgb"),
            *NORMALISE,
        ],
        {"element": TensorProto.UINT8, "frames": ("N", "H", "W", 3)},
        ["--layout", "nhwc", "--channels", "bgr", "--range", "0-255", "--height", str(H), "--width", str(W)],
    ),
}


@pytest.mark.parametrize("name", INPUTS)
def test_another_input_becomes_nodes_in_front(tmp_path: Path, expected: np.ndarray[Any, Any], name: str) -> None:
    before, how, options = INPUTS[name]
    constants: dict[str, Any] = {"mean": MEAN, "std": STD, "white": np.float32(255), "order": np.array([2, 1, 0])}
    path = make_file(tmp_path / "up.onnx", [*before, *D0, sigmoid("d0", "map")], outputs=ONE_MAP, **how, **constants)
    check(path, expected, *options, atol=2e-3 if name == "float16" else 1e-5)


OUTPUTS: dict[str, tuple[list[NodeProto], tuple[int, ...], dict[str, Any], list[str]]] = {
    "logits": ([node("Identity", ["d0"], "map")], (1, 1, H, W), {}, ["--activation", "sigmoid"]),
    "nhwc": ([sigmoid("d0", "s"), node("Transpose", ["s"], "map", perm=[0, 2, 3, 1])], (1, H, W, 1), {}, []),
    "no channel": ([sigmoid("d0", "s"), node("Squeeze", ["s"], "map", axes=[1])], (1, H, W), {}, []),
    "float16": (
        [sigmoid("d0", "s"), node("Cast", ["s"], "map", to=TensorProto.FLOAT16)],
        (1, 1, H, W),
        {"given": TensorProto.FLOAT16},
        [],
    ),
    "two classes": (
        [sigmoid("d0", "s"), node("Sub", ["one", "s"], "rest"), node("Concat", ["rest", "s"], "map", axis=1)],
        (1, 2, H, W),
        {},
        [],
    ),
    "two classes' logits, channels last": (
        [
            node("Add", ["d0", "side1"], "object"),
            node("Concat", ["side1", "object"], "both", axis=1),
            node("Transpose", ["both"], "map", perm=[0, 2, 3, 1]),
        ],
        (1, H, W, 2),
        {},
        ["--activation", "sigmoid"],
    ),
}


@pytest.mark.parametrize("name", OUTPUTS)
def test_another_output_becomes_nodes_behind(tmp_path: Path, expected: np.ndarray[Any, Any], name: str) -> None:
    after, shape, how, options = OUTPUTS[name]
    path = make_file(tmp_path / "up.onnx", [take(), *D0, *after], outputs=[("map", shape)], one=np.float32(1), **how)
    check(path, expected, *options, atol=1e-3 if name == "float16" else 1e-5)


def test_a_convention_that_cannot_be_is_refused(tmp_path: Path) -> None:
    nodes = [node("Cast", ["input.1"], "x", to=TensorProto.FLOAT), *D0, sigmoid("d0", "map")]
    path = make_file(tmp_path / "bytes.onnx", nodes, outputs=ONE_MAP, element=TensorProto.UINT8)
    assert "takes uint8, which holds 0 to 255 alone: leave --range 0-1 out" in refused(path, "--range", "0-1")
    last = [node("Transpose", ["input.1"], "x", perm=[0, 3, 1, 2]), *D0, sigmoid("d0", "map")]
    path = make_file(tmp_path / "last.onnx", last, outputs=ONE_MAP, frames=(1, H, W, 3))
    assert "which are not NCHW with three channels: give --layout nhwc" in refused(path)
    classes = [take(), *D0, node("Concat", ["d0", "d0", "d0"], "map", axis=1)]
    path = make_file(tmp_path / "classes.onnx", classes, outputs=[("map", (1, 3, H, W))])
    assert "it gives a frame [3, 32, 48]: a map is [1, H, W]" in refused(path)


def test_logits_are_known_by_their_values(tmp_path: Path) -> None:
    path = make_file(tmp_path / "up.onnx", [take(), *D0], outputs=[("d0", (1, 1, H, W))])
    assert "saliency lies in [0, 1]: if they are logits, give --activation sigmoid" in refused(path)
    path = make_file(tmp_path / "up.onnx", [take(), *D0, sigmoid("d0", "map")], outputs=ONE_MAP)
    assert "lie in [0, 1] before --activation sigmoid" in rewrap(path, "--activation", "sigmoid").stderr
