"""Memory that this process and its decoding workers share."""

from __future__ import annotations

import math
import mmap
import os
import tempfile
from multiprocessing import reduction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from saliency_engine.errors import WorkerError
from saliency_engine.types import DecodeSpec


class Ring:
    """uint16 memory of ``shape``, all zero; a process that is started with it has the same memory.

    It has no name anywhere, so no kill can leave it behind. Raises ``WorkerError`` where there is not enough memory.
    """

    anonymous = hasattr(os, "memfd_create")
    """True on Linux, where it is in no file system, so that the size of /dev/shm does not matter; elsewhere it is a
    temporary file without a name."""

    def __init__(self, shape: tuple[int, ...], handle: int | None = None) -> None:
        self._shape = shape
        size = 2 * math.prod(shape)
        try:
            self._handle = _open_nameless(size) if handle is None else handle
            # A view keeps the mapping, and the mapping keeps the memory.
            self.frames: NDArray[np.uint16] = np.frombuffer(mmap.mmap(self._handle, size), np.uint16).reshape(shape)
        except OSError as error:
            raise WorkerError(
                f"cannot share {size >> 20} MiB with decoding processes: {error.strerror}; use fewer --decode-workers"
            ) from error

    def close(self) -> None:
        """Share it with no more processes. Those that have it keep it, as does whoever holds ``frames``."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1

    def __reduce__(self) -> tuple[Any, ...]:
        return _attach, (self._shape, reduction.DupFd(self._handle))


def ring_slots_for(spec: DecodeSpec, workers: int, batch_size: int) -> int:
    """Ring slots of a run, a clip each: two clips ahead of every worker, and enough frames to fill two batches."""
    return 2 * workers + -(-2 * batch_size // spec.frames_per_clip)


def _open_nameless(size: int) -> int:
    if Ring.anonymous:
        handle = os.memfd_create("saliency-batch")
    else:
        with tempfile.TemporaryFile() as file:
            handle = os.dup(file.fileno())
    os.ftruncate(handle, size)
    return handle


def _attach(shape: tuple[int, ...], handle: Any) -> Ring:
    ring = Ring(shape, handle.detach())
    ring.close()
    return ring
