"""Which graphs of one frame a call are proved to take several: a wrong yes would mix clips, a wrong no is slow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper
from tests.small_models import WEIGHTS, convolution, enlarging, saliency_model

from saliency_engine.models.graph.framewise import frames_apart

node = helper.make_node
INPUTS = "input", "", "", "s"


def graph(*nodes: NodeProto, **constants: NDArray[Any]) -> ModelProto:
    return saliency_model(*nodes, frames=(1, 3, 32, 48), maps=(1, None, None, None), **constants)


def ints(*values: int) -> NDArray[np.int64]:
    return np.array(values, np.int64)


def enlarged(*sizes: NodeProto, inputs: Sequence[str] = INPUTS, **constants: NDArray[Any]) -> ModelProto:
    """A ``Resize`` to the size ``s``, which ``sizes`` make."""
    return graph(*sizes, node("Resize", inputs, ["saliency_map"]), **constants)


SHAPE = node("Shape", ["input"], ["shape"])
SLICE = node("Slice", ["shape", "b", "e"], ["kept"])
CONCAT = node("Concat", ["kept", "rest"], ["s"], axis=0)
REST = ints(64, 96)

APART = {
    "convolution": graph(convolution("input", "saliency_map"), w=WEIGHTS),
    "half precision": graph(
        node("Cast", ["input"], ["h"], to=TensorProto.FLOAT16), node("Sigmoid", ["h"], ["saliency_map"])
    ),
    "by factors": graph(node("Resize", ["input", "", "f"], ["saliency_map"]), f=np.array([1, 1, 2, 2], np.float32)),
    "channels joined": graph(node("Concat", ["input", "input"], ["saliency_map"], axis=1)),
    "U2NETP": enlarging(WEIGHTS),
    "the number alone is copied": enlarging(WEIGHTS, kept=1),
    "all sizes are copied": enlarged(node("Shape", ["input"], ["s"])),
    "operator set 11": enlarged(
        SHAPE, SLICE, CONCAT, inputs=("input", "none", "none", "s"), b=ints(0), e=ints(2), rest=REST,
        none=np.array([], np.float32),
    ),
    "one by one": enlarged(
        SHAPE,
        node("Gather", ["shape", "zero"], ["n"], axis=0),
        node("Unsqueeze", ["n", "first"], ["count"]),
        node("Gather", ["shape", "others"], ["behind"], axis=0),
        node("Concat", ["count", "behind"], ["sizes"], axis=0),
        node("Cast", ["sizes"], ["s"], to=TensorProto.INT64),
        zero=np.array(0), first=ints(0), others=ints(1, 2, 3),
    ),
    "height and width of another value": enlarged(
        SHAPE, SLICE,
        node("Slice", ["shape", "e", "end"], ["rest"]),
        CONCAT,
        b=ints(0), e=ints(2), end=ints(4),
    ),
}  # fmt: skip
NOT_PROVED = {
    "a constant size": enlarged(s=ints(1, 3, 64, 96)),
    "a constant shape": graph(node("Reshape", ["input", "s"], ["saliency_map"]), s=ints(1, 3, 48, 32)),
    "frames joined": graph(node("Concat", ["input", "input"], ["saliency_map"], axis=0)),
    "a mean over all": graph(node("ReduceMean", ["input"], ["saliency_map"])),
    "a map that no frame has part in": graph(node("Identity", ["m"], ["saliency_map"]), m=np.zeros((1, 1, 4, 4))),
    "none of the sizes is copied": enlarging(WEIGHTS, kept=0),
    "the channels in place of the number": enlarged(SHAPE, SLICE, CONCAT, b=ints(1), e=ints(3), rest=REST),
    "the number in another place": enlarged(
        SHAPE, SLICE, node("Concat", ["rest", "kept"], ["s"], axis=0), b=ints(0), e=ints(2), rest=REST
    ),
    "the number of frames twice": enlarged(
        SHAPE, SLICE, node("Concat", ["kept", "kept"], ["s"], axis=0), b=ints(0), e=ints(2)
    ),
    "backwards": enlarged(
        SHAPE, node("Slice", ["shape", "b", "e", "axis", "step"], ["s"]),
        b=ints(3), e=ints(-5), axis=ints(0), step=ints(-1),
    ),
    "the number is reckoned with": enlarged(SHAPE, node("Mul", ["shape", "f"], ["s"]), f=ints(2, 1, 1, 1)),
    "frames depend on their number": graph(
        SHAPE, node("Cast", ["shape"], ["f"], to=TensorProto.FLOAT), node("Mul", ["input", "f"], ["saliency_map"])
    ),
    "places within all frames": graph(
        node("MaxPool", ["input"], ["m", "places"], kernel_shape=[2, 2]),
        node("Cast", ["places"], ["saliency_map"], to=TensorProto.FLOAT),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", APART)
def test_several_frames_a_call_are_taken_where_that_is_proved(name: str) -> None:
    assert frames_apart(APART[name].SerializeToString())


@pytest.mark.parametrize("name", NOT_PROVED)
def test_a_batch_of_one_is_left_alone_where_it_is_not(name: str) -> None:
    assert not frames_apart(NOT_PROVED[name].SerializeToString())
