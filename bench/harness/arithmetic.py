"""What two cores can do at best: a model's multiplications beside those of a large matrix product."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import onnx
from harness.peers import FRAMES, SIZE


def gmac(model: Path) -> float:
    """10^9 multiply-adds of a frame at the benchmarks' size, in the convolutions (all but a hundredth of the work)."""
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
            # Each output sample (each input sample, transposed) takes a weight's worth of products over its channels.
            samples = node.output[0] if node.op_type == "Conv" else node.input[0]
            total += math.prod(shapes[samples]) * math.prod(shapes[node.input[1]][1:])
    return total / 1e9


def explain(model: Path, rates: dict[str, float], gflops: float) -> dict[str, Any]:
    """Why the way that takes a row at a time cannot be beaten by much: figures from clips/s by contender."""
    bare, row = rates["bare model, cpu"], rates["row at a time, 320x320"]
    macs = gmac(model)
    per_clip = 2 * macs * FRAMES
    return {
        "gmac_per_frame": round(macs, 2),
        "matrix_product_gflops": round(gflops, 1),
        "bare_model_gflops": round(per_clip * bare, 1),
        "model_share_of_row_at_a_time": round(row / bare, 3),
        "most_an_engine_can_win": round(bare / row, 2),
        "gflops_for_twice": round(2 * row * per_clip, 1),
    }


def sentence(told: dict[str, Any]) -> str:
    """The same for people."""
    return (
        f"Arithmetic: {told['gmac_per_frame']} GMAC a frame; the bare model in ONNX Runtime does "
        f"{told['bare_model_gflops']:.0f} GFLOP/s in float32, a large matrix product on these cores "
        f"{told['matrix_product_gflops']:.0f}. Of the row-at-a-time way's time at 320x320 the model alone takes "
        f"{told['model_share_of_row_at_a_time']:.0%}, so with the same library nothing can be more than "
        f"{told['most_an_engine_can_win']} times as fast; twice as fast takes {told['gflops_for_twice']:.0f} GFLOP/s."
    )
