"""A saliency map as a file."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def as_png(heat: NDArray[np.float32]) -> bytes:
    """A map float32 ``[H, W]`` in [0, 1] as PNG, gray of 16 bits: 65535 is 1."""
    file = io.BytesIO()
    Image.fromarray(np.round(heat * np.float64(65535)).astype(np.uint16)).save(file, "PNG", compress_level=3)
    return file.getvalue()


def as_npy(heat: NDArray[np.float32]) -> bytes:
    """A map float32 ``[H, W]`` as NumPy's own file."""
    file = io.BytesIO()
    np.save(file, heat)
    return file.getvalue()
