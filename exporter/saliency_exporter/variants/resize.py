"""The weights of a model at another input size: another model, for its maps are others."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from saliency_engine.errors import ModelError
from saliency_engine.numerics.fidelity import Gate, compare
from saliency_exporter.graphs import compute_maps, open_parent
from saliency_exporter.sample_frames import decode_clips
from saliency_exporter.variants.fix_shape import fix_dimensions
from saliency_exporter.variants.variant import Variant, list_files, publish, tag

_FRAMES = 64  # shared evenly among the clips


def resize(path: Path, output: Path, *, height: int, width: int, clips: Sequence[str]) -> dict[str, Any]:
    """Write the model ``path``, whose size is fixed, with ``height`` and ``width`` in pixels; returns the manifest.

    No gate is set: what network sees a smaller picture sees another one. How far its maps, scaled to the parent's
    size, are from the parent's of the same frames is measured and stated. Raises ``ModelError`` when the parent's size
    is free or the same, and when its nodes hold its size.
    """
    files = list_files(path, output, "--frames", clips)
    parent = open_parent(path)
    if not all(isinstance(size, int) for size in parent.input_shape[1:]):
        raise ModelError(
            f"{path} takes any size: give run --model-size {width}x{height}, or fix the size with fix-shape"
        )
    if parent.size == (height, width):
        raise ModelError(f"{path} has the size {width}×{height} already")
    name = f"{width}x{height}"
    batch = parent.input_shape[0]
    content = tag(parent, name, fix_dimensions(parent, batch, height, width).SerializeToString())
    own = compute_maps(parent.data, decode_clips(clips, *parent.size, files, most=_FRAMES))
    maps = compute_maps(content, decode_clips(clips, height, width, files, most=_FRAMES))
    figures = compare(own, _scale(maps, parent.size))
    settings = {"height": height, "width": width, "measured": "maps scaled to the parent's size, linearly"}
    return publish(parent, Variant(name, content, figures, settings), Gate(), output, clips)


def _scale(maps: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    scaled = [Image.fromarray(one).resize(size[::-1], Image.Resampling.BILINEAR) for one in maps]
    return np.stack([np.asarray(one) for one in scaled])
