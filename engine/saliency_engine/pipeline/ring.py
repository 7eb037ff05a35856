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
    """Zeroed uint16 memory of ``shape``; passed to a process that is being started, it is the same memory there.

    It has no name anywhere, so no kill can leave it behind. On Linux it is ``anonymous``, in no file system, so that
    neither the size of /dev/shm nor its absence matters; elsewhere it is an unlinked temporary file. Raises
    ``WorkerError`` where there is not enough memory.
    """

    anonymous = hasattr(os, "memfd_create")

    def __init__(self, shape: tuple[int, ...], handle: int | None = None) -> None:
        self._shape = shape
        size = 2 * math.prod(shape)
        try:
            self._handle = _anonymous_file(size) if handle is None else handle
            # A view keeps the mapping, and the mapping keeps the memory.
            self.frames: NDArray[np.uint16] = np.frombuffer(mmap.mmap(self._handle, size), np.uint16).reshape(shape)
        except OSError as error:
            raise WorkerError(f"cannot share {size >> 20} MiB with decoding processes: {error.strerror}") from error

    def close(self) -> None:
        """Give it to no more processes; those that have it, and holders of ``frames``, keep it."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1

    def __reduce__(self) -> tuple[Any, ...]:
        return _attached, (self._shape, reduction.DupFd(self._handle))


def ring_slots_for(spec: DecodeSpec, workers: int, batch_size: int) -> int:
    """Ring slots of a run, a clip each: two clips ahead of every worker, and enough frames to fill two batches."""
    return 2 * workers + -(-2 * batch_size // spec.frames_per_clip)


def _anonymous_file(size: int) -> int:
    if Ring.anonymous:
        handle = os.memfd_create("saliency-batch")
    else:
        with tempfile.TemporaryFile() as file:
            handle = os.dup(file.fileno())
    os.ftruncate(handle, size)
    return handle


def _attached(shape: tuple[int, ...], handle: Any) -> Ring:
    ring = Ring(shape, handle.detach())
    ring.close()
    return ring
