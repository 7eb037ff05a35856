"""Infinity and NaN among a graph's constants: where they are at home, and where no map can be trusted."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper
from tests.small_models import WEIGHTS, convolution, miniature, saliency_model

from saliency_engine.models.graph.inspect import read_graph

node = helper.make_node
CAUSAL = np.triu(np.full((32, 48), -np.inf, np.float32), 1)
"""A mask: -inf above the diagonal."""
ATTENTION = (node("Softmax", ["masked"], ["soft"], axis=-1), node("Sigmoid", ["soft"], ["saliency_map"]))


def fault_of(*nodes: NodeProto, **constants: Any) -> str:
    data = saliency_model(convolution("input", "c"), *nodes, w=WEIGHTS, **constants).SerializeToString()
    return read_graph(data).fault


def constant(name: str, value: NDArray[Any]) -> NodeProto:
    return node("Constant", [], [name], value=numpy_helper.from_array(value))


def test_a_mask_before_a_softmax_is_sound() -> None:
    add = node("Add", ["c", "mask"], ["masked"])
    assert fault_of(add, *ATTENTION, mask=CAUSAL) == ""
    assert fault_of(constant("mask", CAUSAL), add, *ATTENTION) == ""
    cut = node("Slice", ["large", "starts", "ends"], ["mask"])
    ends = {"starts": np.array([0, 0]), "ends": np.array([32, 48])}
    assert fault_of(cut, add, *ATTENTION, large=np.pad(CAUSAL, 8), **ends) == ""
    shaped = (node("Unsqueeze", ["flat", "axes"], ["deep"]), node("Cast", ["deep"], ["mask"], to=TensorProto.FLOAT))
    assert fault_of(*shaped, add, *ATTENTION, flat=CAUSAL.astype(np.float16), axes=np.array([0])) == ""


def test_a_bound_is_sound() -> None:
    least = np.full(48, -np.inf, np.float32)
    bounded = node("Max", ["c", "least"], ["more"]), node("Min", ["more", "most"], ["masked"])
    assert fault_of(*bounded, *ATTENTION, least=least, most=-least) == ""


def test_what_nothing_reads_is_sound() -> None:
    model = miniature()
    model.graph.initializer.append(numpy_helper.from_array(np.array([np.nan, np.inf], np.float32), "left over"))
    assert read_graph(model.SerializeToString()).fault == ""


@pytest.mark.parametrize("op", ["Conv", "Mul", "MatMul"])
def test_infinity_that_is_multiplied_by_is_a_fault(op: str) -> None:
    wrong = np.full((1, 1, 48, 48), np.inf, np.float32)
    last = node("Sigmoid", ["m"], ["saliency_map"])
    reason = "its weight 'wrong' holds infinity"
    assert fault_of(node(op, ["c", "wrong"], ["m"]), last, wrong=wrong) == reason
    on_its_way = node("Identity", ["wrong"], ["passed"]), node(op, ["c", "passed"], ["m"])
    assert fault_of(*on_its_way, last, wrong=wrong) == reason


def test_infinity_added_before_anything_but_a_softmax_is_a_fault() -> None:
    """A ReLU or a sigmoid would make finite numbers of it."""
    for op in ("Relu", "Sigmoid"):
        nodes = node("Add", ["c", "bias"], ["b"]), node(op, ["b"], ["saliency_map"])
        assert fault_of(*nodes, bias=np.full(48, -np.inf, np.float32)) == "its weight 'bias' holds infinity"


def test_faults_inside_a_branch_are_seen() -> None:
    given = helper.make_tensor_value_info("out", TensorProto.FLOAT, None)
    wrong = constant("wrong", np.array([1, np.nan], np.float32))
    body = helper.make_graph([wrong, node("Neg", ["wrong"], ["out"])], "body", [], [given])
    good = helper.make_graph([node("Identity", ["c"], ["out"])], "body", [], [given])
    choice = node("If", ["flag"], ["unused"], then_branch=body, else_branch=good)
    last = node("Sigmoid", ["c"], ["saliency_map"])
    assert fault_of(choice, last, flag=np.array(True)) == "its weight 'wrong' holds NaN"
