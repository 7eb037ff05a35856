"""A graph is tried on pictures before any clip is read: whether it runs, what it gives, and whether frames mix."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from saliency_engine.errors import ModelError

Run = Callable[[NDArray[np.uint16]], NDArray[np.float32]]
Shape = tuple[int, int, int, int]
_PATCHES = 8  # across and down
# Black and white are left out: some sound graphs divide by what is 0 there.
_PICTURES = np.random.default_rng(0).integers(8000, 60000, (3, 3, _PATCHES, _PATCHES), np.uint16)
_MOST_MIXED = 1e-3  # mean difference of two maps in 0..1; a frame at another place of a call differs by some 1e-7


def try_graph(run: Run, shape: Shape) -> NDArray[np.float32]:
    """The maps of a first call, for frames of ``shape`` ``[n, 3, H, W]``: a picture, and another one in all places."""
    return run(_draw(shape, 0, 1, place=0)).copy()


def check_maps(run: Run, shape: Shape, maps: NDArray[np.float32], source: str) -> None:
    """Look at the ``maps`` of ``try_graph``, ``[n, …]``. Most graphs of one frame a call are not run again.

    Raises ``ModelError`` naming the model ``source`` where a picture's map changes with what is beside it, before and
    behind, which may be of another clip; and where no picture has a map of finite numbers.
    """
    several, finite = shape[0] > 1, bool(np.isfinite(maps).all())
    if finite and not several:
        return
    others = run(_draw(shape, 0 if several else 1, 2, place=-1))
    if not finite and not np.isfinite(others).all():
        raise ModelError(
            f"{source} gives maps with NaN or infinite values for any picture: give another model, or another "
            "--precision"
        )
    if several and float(np.abs(maps[0] - others[-1]).mean()) > _MOST_MIXED:
        raise ModelError(
            f"{source} mixes the frames of a call, which may be of different clips: export it for one frame a call, or "
            "give --batch-size 1 where that is free"
        )


def _draw(shape: Shape, one: int, others: int, *, place: int) -> NDArray[np.uint16]:
    """A call's frames: the picture ``one`` at ``place``, and ``others`` everywhere else."""
    frames = np.empty(shape, np.uint16)
    rows, columns = (np.arange(size) * _PATCHES // size for size in shape[2:])
    frames[:] = _PICTURES[others][:, rows[:, None], columns]
    frames[place] = _PICTURES[one][:, rows[:, None], columns]
    return frames
