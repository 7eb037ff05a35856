"""A graph with every dimension fixed: another batch size, and a size in pixels where the parent leaves it free."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnx
from onnx import ModelProto

from saliency_engine.errors import ModelError
from saliency_engine.numerics.fidelity import PARITY, compare
from saliency_exporter import sample_frames as made
from saliency_exporter.graphs import Parent, maps_of, open_parent
from saliency_exporter.variants.variant import Variant, publish, signed


def fix_shape(
    path: Path, output: Path, *, batch: int, height: int, width: int, sources: Sequence[str]
) -> dict[str, Any]:
    """Write ``path`` with input ``[batch, 3, height, width]``; returns the manifest.

    Measured frame by frame against the parent at the same size in pixels. Raises ``ModelError`` when the parent has
    another size fixed, or holds its batch size in its nodes.
    """
    parent = open_parent(path)
    fixed = [size for size in parent.inputs[2:] if isinstance(size, int)]
    if any(size not in (height, width) for size in fixed) or (len(fixed) == 2 and fixed != [height, width]):
        raise ModelError(
            f"{path} runs at {parent.inputs[3]}×{parent.inputs[2]} only, so nothing made of it could be measured at "
            f"{width}×{height}; export it anew at that size"
        )
    name = f"{width}x{height}_b{batch}"
    content = signed(parent, name, _fixed(parent, batch, height, width).SerializeToString())
    frames = made.for_measuring(sources, height, width)
    figures = compare(maps_of(parent.data, frames), maps_of(content, frames))
    settings = {"batch": batch, "height": height, "width": width}
    return publish(parent, Variant(name, content, figures, settings), PARITY, output, sources)


def _fixed(parent: Parent, batch: int, height: int, width: int) -> ModelProto:
    model = parent.model()
    _set(model.graph.input[0], (batch, 3, height, width))
    # The map's size follows from the graph; only where the parent's own follows the frame is it known beforehand.
    same = parent.outputs[2:] == parent.inputs[2:]
    _set(model.graph.output[0], (batch, 1, height, width) if same else (batch, 1, None, None))
    del model.graph.value_info[:]  # shapes of the parent's
    try:
        return onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
    except onnx.shape_inference.InferenceError as error:
        raise ModelError(
            f"{parent.path} cannot take {batch}×3×{height}×{width}: its nodes hold other sizes "
            f"({' '.join(str(error).split())[:200]})"
        ) from error


def _set(value: onnx.ValueInfoProto, sizes: Sequence[int | None]) -> None:
    for dimension, size in zip(value.type.tensor_type.shape.dim, sizes, strict=True):
        if size is not None:
            dimension.dim_value = size
