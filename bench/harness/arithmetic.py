"""What a processor can do at best: a model's multiplications beside those of a large matrix product."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import onnx
from harness.peers import FRAMES, SIZE
from harness.targets import ROW


def count_gmac(model: Path) -> float:
    """10^9 multiply-adds for one frame of the benchmarks' size. Only convolutions count: they are 99% of the work."""
    graph = onnx.load(model)
    for dimension, size in zip(graph.graph.input[0].type.tensor_type.shape.dim, (1, 3, SIZE[1], SIZE[0]), strict=True):
        dimension.dim_value = size
    del graph.graph.value_info[:]
    graph = onnx.shape_inference.infer_shapes(graph, data_prop=True)
    known = [*graph.graph.value_info, *graph.graph.input, *graph.graph.output]
    shapes = {value.name: [d.dim_value for d in value.type.tensor_type.shape.dim] for value in known}
    shapes |= {weight.name: list(weight.dims) for weight in graph.graph.initializer}
    total = 0
    for node in graph.graph.node:
        if node.op_type in {"Conv", "ConvTranspose"}:
            # Each sample of the output (transposed: of the input) takes one product for each of its channel's weights.
            samples = node.output[0] if node.op_type == "Conv" else node.input[0]
            total += math.prod(shapes[samples]) * math.prod(shapes[node.input[1]][1:])
    return total / 1e9


def explain(model: Path, rates: dict[str, float], gflops: float) -> dict[str, Any]:
    """Why the row-at-a-time script cannot be beaten by much: figures from ``rates``, the clips/s of each contender."""
    bare, row = rates["bare model, cpu"], rates[ROW]
    gmac = count_gmac(model)
    per_clip = 2 * gmac * FRAMES
    return {
        "gmac_per_frame": round(gmac, 2),
        "matrix_product_gflops": round(gflops, 1),
        "bare_model_gflops": round(per_clip * bare, 1),
        "model_share_of_row_at_a_time": round(row / bare, 3),
        "most_an_engine_can_win": round(bare / row, 2),
        "gflops_for_twice": round(2 * row * per_clip, 1),
    }


def sentence(figures: dict[str, Any]) -> str:
    """The figures of ``explain`` in words."""
    return (
        f"Arithmetic: {figures['gmac_per_frame']} GMAC a frame; the bare model in ONNX Runtime does "
        f"{figures['bare_model_gflops']:.0f} GFLOP/s in float32, a large matrix product on these cores "
        f"{figures['matrix_product_gflops']:.0f}. The model alone takes "
        f"{figures['model_share_of_row_at_a_time']:.0%} of the time of the row-at-a-time script at 320x320, so that "
        "with the same library nothing can be more than "
        f"{figures['most_an_engine_can_win']} times as fast; twice as fast would take "
        f"{figures['gflops_for_twice']:.0f} GFLOP/s."
    )
