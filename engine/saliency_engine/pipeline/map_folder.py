"""Folders of saliency maps: one for each point of a run, with one aggregated map of each clip."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from saliency_engine.errors import ConfigError
from saliency_engine.numerics.aggregate import combine
from saliency_engine.numerics.blocks import block_means
from saliency_engine.storage.atomic import read_json, write_json, write_quickly
from saliency_engine.types import ClipRequest

_SETTINGS = "settings.json"


class MapFolder:
    """Where the maps of one model, aggregator and alpha go.

    ``settings`` are all that can change a map besides the clip, JSON values. ``encode`` makes the bytes of a file of
    a map float32 ``[H, W]`` in [0, 1]. ``grid`` is (width, height) in blocks, of which the means are written in place
    of pixels; ``None``: the map as it is. A clip's file is called as the clip's path from ``root``, with ``suffix``.

    Raises ``ConfigError`` where the folder holds maps of other settings.
    """

    def __init__(
        self,
        folder: Path,
        root: str,
        settings: Mapping[str, Any],
        encode: Callable[[NDArray[np.float32]], bytes],
        *,
        suffix: str,
        grid: tuple[int, int] | None,
    ) -> None:
        self._folder, self._root = folder, os.path.realpath(root)
        self._aggregator, self._alpha = settings["aggregator"], settings["ema_alpha"]
        self._encode, self._suffix, self._grid = encode, suffix, grid
        before = read_json(folder / _SETTINGS)
        if before is None:
            write_json(str(folder / _SETTINGS), settings)
        elif before != settings:
            other = min(name for name in {*before, *settings} if before.get(name) != settings.get(name))
            raise ConfigError(
                f"{folder} holds maps of other settings ({other} is {before.get(other)!r}, here "
                f"{settings.get(other)!r}): give --maps another folder, or remove this one"
            )

    def path_of(self, request: ClipRequest) -> Path:
        """The file of a clip's map."""
        path = Path("/", request.path.replace("://", "/", 1)) if request.remote else Path(request.path)
        inside = path.relative_to(self._root) if path.is_relative_to(self._root) else path.relative_to("/")
        return self._folder / f"{inside}{self._suffix}"

    def lacks(self, request: ClipRequest) -> bool:
        """Whether the clip has no map that is newer than itself."""
        try:
            status = self.path_of(request).stat()
        except OSError:
            return True
        return not status.st_size or status.st_mtime_ns < request.mtime_ns

    def write(self, request: ClipRequest, maps: NDArray[np.float32], motion: NDArray[np.float64]) -> None:
        """Write the aggregated map of a clip's ``maps`` float32 ``[K, H, W]``. Raises ``OutputError``."""
        heat = np.empty(maps.shape[1:], np.float32)
        combine(maps, motion, self._aggregator, self._alpha, heat)
        write_quickly(self.path_of(request), self._encode(block_means(heat, *self._grid) if self._grid else heat))
