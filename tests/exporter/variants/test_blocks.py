"""Blocks of a graph, and which of them go back to float."""

from __future__ import annotations

from pathlib import Path

import onnx

from saliency_exporter.variants.blocks import choose_costly, cut


def test_blocks_left_in_float_bring_the_costs_under_the_budget(models: Path) -> None:
    blocks = cut(onnx.load(models / "saliency_student_v2.onnx"), (64, 96))
    assert [block.nodes[0].op_type for block in blocks[:4]] == ["Conv", "Conv", "MaxPool", "Conv"]
    assert blocks[0].readers == [blocks[1]]
    assert blocks[0].work == 3 * 16 * 9 * 64 * 96
    assert all((block.work > 0) == (block.nodes[0].op_type == "Conv") for block in blocks)
    prices = [0.001] * len(blocks)
    for budget in (1.0, 0.0105, 0.0):
        left = choose_costly(blocks, prices, budget)
        rounded = [b for b in blocks if not {id(x) for x in (b, *b.readers)} <= {id(x) for x in left}]
        assert 0.001 * len(rounded) <= budget
    assert choose_costly(blocks, prices, 1.0) == []
