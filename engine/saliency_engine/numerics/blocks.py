"""A map in fewer pixels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def block_means(heat: NDArray[np.float32], width: int, height: int) -> NDArray[np.float32]:
    """The means of ``heat`` ``[H, W]`` over ``height`` × ``width`` blocks, as float32 ``[height, width]``.

    Block i of n along an axis of N pixels has those from ⌊i·N/n⌋ up to ⌊(i+1)·N/n⌋; n must be at most N. Sums are
    taken in float64.
    """
    rows, columns = (np.arange(n + 1) * size // n for n, size in zip((height, width), heat.shape, strict=True))
    sums = np.add.reduceat(np.add.reduceat(heat.astype(np.float64), rows[:-1], axis=0), columns[:-1], axis=1)
    return np.asarray(sums / np.outer(np.diff(rows), np.diff(columns)), np.float32)
