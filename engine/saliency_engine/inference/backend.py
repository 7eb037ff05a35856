"""What a library that runs ONNX graphs has to offer; one implementation per library stands beside this file."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from saliency_engine.errors import ModelError


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

    ``provider`` names what really runs, as the audit and the memo's key have it; ``remark`` says more about how, for
    people, once ``pin`` was called. ``inputs`` and ``outputs`` are those of the model, with the dimensions that this
    backend can choose free. ``batches``: several frames in one call are faster than one at a time.
    """

    provider: str
    remark: str
    inputs: Sequence[Port]
    outputs: Sequence[Port]
    batches: bool

    def pin(self, shape: tuple[int, int, int, int], streams: int) -> None:
        """Fix the input's shape, so that memory is planned once, and share the threads among ``streams`` calls.

        Must be called before the first run. Raises ``ModelError`` for a size that cannot be.
        """

    def __call__(self, frames: NDArray[np.uint16]) -> NDArray[np.float32]:
        """Normalise 16-bit R'G'B' ``frames`` of the pinned shape and run the graph; up to ``streams`` at once.

        The result is valid until the same thread's next call. Raises ``InferenceError``.
        """


def check_ports(inputs: Sequence[Port], outputs: Sequence[Port], source: str) -> None:
    """Raise ``ModelError`` unless a graph has one NCHW float32 RGB input and one float32 map as its output."""
    for what, ports, shapes, expected in (
        ("input", inputs, (4,), "[N, 3, H, W]"),
        ("output", outputs, (3, 4), "[N, 1, H, W]"),
    ):
        good = len(ports) == 1 and ports[0].kind == "float32" and len(ports[0].shape) in shapes
        if good and what == "input":
            good = ports[0].shape[1] == 3
        if not good:
            found = ", ".join(map(str, ports))
            raise ModelError(f"{source} is not a saliency model: expected one float32 {what} {expected}, found {found}")


def first_line(error: BaseException) -> str:
    """A library's message on one line, cut to a readable length."""
    text = re.sub(r"\s+", " ", str(error)).strip()
    return text[:400] or type(error).__name__
