"""Graphs that are given another input: frames of 16 bits, normalised in the graph, and a fixed size."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper
from tests.engine.inference.miniatures import (
    NORMALISED,
    make_convolution,
    make_graph,
)

from saliency_engine.errors import ModelError
from saliency_engine.models.graph import edit
from saliency_engine.numerics import reference


def test_frames_are_normalised_in_the_graph_as_numpy_does_it() -> None:
    made = make_graph(helper.make_node("Identity", ["input"], ["saliency_map"]))
    every_value = np.broadcast_to(np.arange(65536, dtype=np.uint16).reshape(1, 1, 256, 256), (1, 3, 256, 256))
    data = edit.with_input(made.SerializeToString(), every_value.shape, uint16=True)
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    (taken,) = session.get_inputs()
    assert (taken.type, taken.shape) == ("tensor(uint16)", [1, 3, 256, 256])
    got = session.run(None, {taken.name: every_value})[0]
    np.testing.assert_allclose(got, reference.normalize(every_value / 65535.0), atol=1e-6, rtol=0)


@NORMALISED
@pytest.mark.parametrize("batch", ["N", 1])
def test_a_rewritten_graph_is_sound_and_keeps_every_node_and_weight(uint16: bool, batch: int | str) -> None:
    before = make_convolution(batch)
    after = onnx.load_from_string(edit.with_input(before.SerializeToString(), (8, 3, 32, 48), uint16=uint16))
    onnx.checker.check_model(after, full_check=True)
    assert list(after.graph.node)[-2:] == list(before.graph.node)
    assert list(after.graph.initializer) == list(before.graph.initializer)
    assert (after.ir_version, list(after.opset_import)) == (before.ir_version, list(before.opset_import))


def test_what_is_no_model_cannot_be_rewritten() -> None:
    with pytest.raises(ModelError, match="it is text, not ONNX"):
        edit.with_input(b"this is no model", (1, 3, 8, 8), uint16=True)
