"""Bayer mosaics: each pixel has one of red, green and blue; the other two are interpolated from its neighbours."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def bytes_of(name: str) -> int:
    """Bytes of a sample of FFmpeg's format ``name``, such as ``bayer_rggb16le``."""
    return 1 if name.endswith("8") else 2


def interpolate(mosaic: NDArray[Any], pattern: str) -> dict[str, NDArray[Any]]:
    """Red, green and blue (``r``, ``g``, ``b``) of ``mosaic`` ``[height, width]``, bilinear, rounded half up.

    ``pattern`` names the colours of the first two pixels of the first two lines. Raises ``ValueError`` where the
    picture is too small to have all three.
    """
    height, width = mosaic.shape
    if height < 2 or width < 2:
        raise ValueError(f"a mosaic of {width}×{height} pixels")
    # Mirrored at the outermost pixels, a neighbour that is missing has the colour that it would have had.
    padded = np.pad(mosaic, 1, "reflect").astype(np.uint32)
    planes = {colour: np.empty((height, width), np.uint32) for colour in "rgb"}
    for row, column in ((0, 0), (0, 1), (1, 0), (1, 1)):

        def pixels(down: int, right: int, row: int = row, column: int = column) -> NDArray[Any]:
            return padded[1 + row + down : 1 + height + down : 2, 1 + column + right : 1 + width + right : 2]

        own, beside, below = pattern[2 * row + column], pattern[2 * row + 1 - column], pattern[2 - 2 * row + column]
        across, upright = pixels(0, -1) + pixels(0, 1), pixels(-1, 0) + pixels(1, 0)
        values = {own: pixels(0, 0)}
        if own == "g":
            values |= {beside: across + 1 >> 1, below: upright + 1 >> 1}
        else:
            corners = pixels(-1, -1) + pixels(-1, 1) + pixels(1, -1) + pixels(1, 1)
            values |= {"g": across + upright + 2 >> 2, "b" if own == "r" else "r": corners + 2 >> 2}
        for colour, samples in values.items():
            planes[colour][row::2, column::2] = samples
    return planes
