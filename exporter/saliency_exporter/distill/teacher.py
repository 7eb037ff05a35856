"""What the teacher says of each frame: computed once, and kept."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from saliency_engine.errors import ModelError
from saliency_engine.inference.session import Session
from saliency_exporter.distill.pictures import Pictures

_FRAMES_AT_A_TIME = 8
Maps = NDArray[np.float16]


class TaughtMaps:
    """The teacher's maps by the contents of their frames: a file of maps, and beside it one of their keys.

    Both only grow, so that an interrupted computation goes on where it stopped. Maps are float16: a map of 0.5 is off
    by at most 0.0003.
    """

    def __init__(self, path: Path, height: int, width: int) -> None:
        self._path, self._keys_path = path, path.with_suffix(".keys")
        self._shape = (height, width)
        keys = self._keys_path.read_text(encoding="ascii").split() if self._keys_path.exists() else []
        whole = path.stat().st_size // self._bytes if path.exists() else 0
        self._rows = {key: row for row, key in enumerate(keys[:whole]) if len(key) == _KEY_DIGITS}
        self._count = min(len(keys), whole)

    @property
    def _bytes(self) -> int:
        """Of one map."""
        return 2 * self._shape[0] * self._shape[1]

    def add(self, session: Session, frames: Pictures, show: Callable[[int, int], None]) -> None:
        """Compute the maps of those ``frames`` ``[n, 3, H, W]`` that have none yet. Raises ``ModelError``.

        ``show`` is told how many are done, and of how many.
        """
        missing = list(
            {key_of(frame): at for at, frame in enumerate(frames) if key_of(frame) not in self._rows}.items()
        )
        step = max(_FRAMES_AT_A_TIME // session.frames_per_call, 1) * session.frames_per_call
        with self._path.open("ab") as maps, self._keys_path.open("a", encoding="ascii") as keys:
            maps.truncate(self._count * self._bytes)
            for done in range(0, len(missing), step):
                part = missing[done : done + step]
                show(done, len(missing))
                maps.write(_ask(session, frames[[at for _, at in part]], step).tobytes())
                maps.flush()
                os.fsync(maps.fileno())
                keys.write("".join(f"{key}\n" for key, _ in part))
                keys.flush()
                self._rows |= {key: self._count + at for at, (key, _) in enumerate(part)}
                self._count += len(part)

    def of(self, frames: Pictures) -> tuple[Maps, NDArray[np.int64]]:
        """All maps, ``[m, H, W]``, in their file, and which of them is each frame's. Raises ``KeyError``."""
        everything = np.memmap(self._path, np.float16, "r", shape=(self._count, *self._shape))
        return everything, np.array([self._rows[key_of(frame)] for frame in frames])


def key_of(frame: Pictures) -> str:
    """What a frame's map is kept under: the hash of its pixels."""
    return hashlib.sha256(frame.tobytes()).hexdigest()


_KEY_DIGITS = 64


def _ask(session: Session, frames: Pictures, step: int) -> Maps:
    padded = np.concatenate([frames, np.repeat(frames[-1:], step - len(frames), axis=0)])
    maps = np.empty((step, session.map_height, session.map_width), np.float32)
    session.run(padded.astype(np.uint16) * 257, maps)
    if not np.isfinite(maps).all():
        raise ModelError("the teacher gives no finite numbers for some of the frames")
    return np.clip(maps[: len(frames)], 0, 1).astype(np.float16)
