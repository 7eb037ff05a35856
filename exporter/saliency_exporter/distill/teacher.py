"""What the teacher says of each frame: computed once, and kept."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from saliency_engine.errors import ModelError
from saliency_engine.inference.backend import rewrap_command
from saliency_engine.inference.session import Session
from saliency_engine.storage.atomic import naming
from saliency_exporter.distill.reading import Pictures

_FRAMES_AT_A_TIME = 8
_KEY_BYTES = 65
"""Of a frame's key in its file, with the line's end."""
_TOLERANCE = 1e-3
"""How far outside [0, 1] a map may be; the engine refuses clips with more."""
Maps = NDArray[np.float16]


class TaughtMaps:
    """The teacher's maps by the contents of their frames: a file of maps, and beside it one of their keys.

    Both only grow, so that an interrupted computation goes on where it stopped. Maps are float16: a map of 0.5 is off
    by at most 0.0003.
    """

    def __init__(self, path: Path, height: int, width: int) -> None:
        self._path, self._keys_path = path, path.with_suffix(".keys")
        self._shape, self._bytes = (height, width), 2 * height * width
        for file in (self._path, self._keys_path):
            with naming(file):
                file.touch()
        # What one of them has more than the other was being written when the command was interrupted.
        self._count = min(self._path.stat().st_size // self._bytes, self._keys_path.stat().st_size // _KEY_BYTES)
        keys = self._keys_path.read_bytes()
        self._rows = {keys[at * _KEY_BYTES : (at + 1) * _KEY_BYTES - 1]: at for at in range(self._count)}

    def look_up(
        self, session: Session, frames: Pictures, wanted: Sequence[int], source: str, show: Callable[[int, int], None]
    ) -> tuple[Maps, NDArray[np.int64]]:
        """All maps, ``[m, H, W]``, in their file, and which of them is each frame's, ``[n]``: -1 where not ``wanted``.

        Those of ``frames`` ``[n, 3, H, W]`` that are ``wanted`` and not there yet are computed first; ``show`` is told
        how many of how many. ``source`` is the teacher's file. Raises ``ModelError``, ``InferenceError`` and
        ``OutputError``.
        """
        keys = {at: hashlib.sha256(frames[at].tobytes()).hexdigest().encode() for at in wanted}
        missing = list({key: at for at, key in keys.items() if key not in self._rows}.items())
        step = max(_FRAMES_AT_A_TIME // session.frames_per_call, 1) * session.frames_per_call
        with naming(self._path), self._path.open("ab") as maps, self._keys_path.open("ab") as file:
            maps.truncate(self._count * self._bytes)
            file.truncate(self._count * _KEY_BYTES)
            for done in range(0, len(missing), step):
                show(done, len(missing))
                part = missing[done : done + step]
                codes = frames[[at for _, at in part]].astype(np.uint16) * 257
                maps.write(ask(session, codes, source).tobytes())
                maps.flush()
                os.fsync(maps.fileno())
                file.write(b"".join(key + b"\n" for key, _ in part))
                file.flush()
                self._rows |= {key: self._count + at for at, (key, _) in enumerate(part)}
                self._count += len(part)
        everything = np.memmap(self._path, np.float16, "r", shape=(self._count, *self._shape))
        map_of = np.full(len(frames), -1)
        map_of[list(keys)] = [self._rows[key] for key in keys.values()]
        return everything, map_of


def ask(session: Session, frames: NDArray[np.uint16], source: str) -> Maps:
    """The teacher's maps ``[n, H, W]`` of ``frames`` ``[n, 3, H, W]``, R'G'B' of 16 bits; ``source`` is its file.

    Raises ``ModelError`` where maps are not finite or not within [0, 1], and ``InferenceError``.
    """
    padded = np.concatenate([frames, np.repeat(frames[-1:], -len(frames) % session.frames_per_call, axis=0)])
    maps = np.empty((len(padded), session.map_height, session.map_width), np.float32)
    session.run(padded, maps)
    least, most = float(maps.min()), float(maps.max())
    if not np.isfinite([least, most]).all():
        raise ModelError(
            f"{source} gives maps with NaN or infinite values for some of the frames: take another teacher"
        )
    if least < -_TOLERANCE or most > 1 + _TOLERANCE:
        raise ModelError(
            f"the maps of {source} reach from {least:.3g} to {most:.3g}, and saliency lies in [0, 1]: if they are "
            f"logits, make a teacher of it with {rewrap_command(source, '--activation', 'sigmoid')}"
        )
    return np.clip(maps[: len(frames)], 0, 1).astype(np.float16)
