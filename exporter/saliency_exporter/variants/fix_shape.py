"""A graph with every dimension fixed: another batch size, and a size in pixels where the parent leaves it free."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnx
from onnx import ModelProto

from saliency_engine.errors import ModelError
from saliency_engine.numerics.fidelity import PARITY, compare
from saliency_exporter.graphs import Parent, compute_maps, open_parent
from saliency_exporter.sample_frames import collect_frames
from saliency_exporter.variants.variant import Variant, list_files, publish, tag


def fix_shape(path: Path, output: Path, *, batch: int, height: int, width: int, clips: Sequence[str]) -> dict[str, Any]:
    """Write the model ``path`` with input ``[batch, 3, height, width]``; returns the manifest.

    Its maps are compared with the parent's at the same size in pixels. Raises ``ModelError`` when the parent is fixed
    to another size, or when its nodes hold a batch size.
    """
    files = list_files(path, output, "--frames", clips)
    parent = open_parent(path)
    fixed = [size for size in parent.input_shape[2:] if isinstance(size, int)]
    if any(size not in (height, width) for size in fixed) or (len(fixed) == 2 and fixed != [height, width]):
        raise ModelError(
            f"{path} runs at {parent.input_shape[3]}×{parent.input_shape[2]} only, so a variant of {width}×{height} "
            "could not be compared with it: saliency-export resize makes another model of its weights at that size"
        )
    name = f"{width}x{height}_b{batch}"
    content = tag(parent, name, fix_dimensions(parent, batch, height, width).SerializeToString())
    frames = collect_frames(clips, height, width, files)
    figures = compare(compute_maps(parent.data, frames), compute_maps(content, frames))
    settings = {"batch": batch, "height": height, "width": width}
    return publish(parent, Variant(name, content, figures, settings), PARITY, output, clips)


def fix_dimensions(parent: Parent, batch: int | str, height: int, width: int) -> ModelProto:
    """The parent's graph with these sizes, a free ``batch`` by its name.

    Raises ``ModelError`` where its nodes hold others.
    """
    model = parent.load()
    frames = batch if isinstance(batch, int) else None
    _set_shape(model.graph.input[0], (frames, 3, height, width))
    # The map's size follows from the graph; it is known beforehand only where it is named like the frame's.
    same = parent.output_shape[2:] == parent.input_shape[2:]
    _set_shape(model.graph.output[0], (frames, 1, height, width) if same else (frames, 1, None, None))
    del model.graph.value_info[:]  # the parent's shapes
    try:
        return onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
    except onnx.shape_inference.InferenceError as error:
        raise ModelError(
            f"{parent.path} cannot take frames [{batch}, 3, {height}, {width}]: some of its nodes are fixed to other "
            f"sizes ({' '.join(str(error).split())[:200]})"
        ) from error


def _set_shape(value: onnx.ValueInfoProto, sizes: Sequence[int | None]) -> None:
    """Fix dimensions; ``None`` leaves one as it is."""
    for dimension, size in zip(value.type.tensor_type.shape.dim, sizes, strict=True):
        if size is not None:
            dimension.dim_value = size
