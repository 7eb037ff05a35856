"""What a library that runs ONNX graphs has to offer; one implementation per library stands beside this file."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Port:
    """An input or output of a graph: ``kind`` is its element type (``float32``), a free dimension is ``None``."""

    name: str
    kind: str
    shape: tuple[int | None, ...]

    def __str__(self) -> str:
        return f"{self.name} {self.kind} {['?' if size is None else size for size in self.shape]}"


class Backend(Protocol):
    """A graph loaded by one library on one device.

    ``provider`` names what really runs, as the audit and the memo's key have it.
    """

    provider: str
    inputs: Sequence[Port]
    outputs: Sequence[Port]

    def pin(self, shape: tuple[int, int, int, int], streams: int) -> None:
        """Fix the input's shape, so that memory is planned once, and share the threads among ``streams`` calls.

        Must be called before the first run. Raises ``ModelError`` for a size that cannot be.
        """

    def __call__(self, frames: NDArray[np.float32]) -> NDArray[np.float32]:
        """Run the graph on ``frames`` of the pinned shape; up to ``streams`` threads may call at once.

        The result is valid until the same thread's next call. Raises ``InferenceError``.
        """


def first_line(error: Exception) -> str:
    """A library's message on one line, cut to a readable length."""
    text = re.sub(r"\s+", " ", str(error)).strip()
    return text[:400] or type(error).__name__
