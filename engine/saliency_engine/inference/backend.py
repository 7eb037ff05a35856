"""What a library that runs ONNX graphs has to offer; one implementation per library stands beside this file."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from saliency_engine.errors import InferenceError, ModelError, ProviderError, SaliencyError

# "/onnxruntime_src/….cc:46 name(types) " and "Exception from src/….cpp:105: " before the reason proper.
_SOURCE_PLACE = re.compile(r"/onnxruntime_src/\S+:\d+ [^()]*\([^()]*\)( const)? |Exception from \S+:\d+: ")

# "CUDA failure 2: out of memory ; GPU=0 ; hostname=… ; file=… ; line=… ; expr=…" is how ONNX Runtime says what went
# wrong on a card, behind 400 characters and more of a node's name and templates.
_CARD_FAILURE = re.compile(r"\b(CUDA|CUDNN\w*|CUBLAS\w*) failure (-?\d+): [^;]*[^;\s]")
# Errors of the CUDA runtime behind which every call of the same process fails, by their numbers: memory errors of the
# card (214, 220), a kernel that went wrong or took too long (700, 702, 710, 714 to 719), a context that is gone (709),
# and what nobody knows (999).
_FATAL = frozenset({214, 220, 700, 702, 709, 710, *range(714, 720), 999})


@dataclass(frozen=True, slots=True)
class Port:
    """An input or output of a graph."""

    name: str
    kind: str
    """Its element type, such as ``float32``."""
    shape: tuple[int | None, ...]
    """A free dimension is ``None``. An output of which only a run can tell has no dimensions."""

    def __str__(self) -> str:
        return f"{self.name} {self.kind} [{', '.join('?' if size is None else str(size) for size in self.shape)}]"


class CompiledGraph(Protocol):
    """A graph that is ready to run on frames of one shape."""

    remark: str
    """How it runs, in words for people; empty where there is nothing to add to the provider's name."""

    def __call__(self, frames: NDArray[np.uint16]) -> NDArray[np.float32]:
        """Normalise 16-bit R'G'B' ``frames`` ``[n, 3, H, W]`` and run the graph on them.

        The result is valid until the same thread's next call. Raises ``InferenceError``, and ``ValueError`` for frames
        of another shape.
        """


class Backend(Protocol):
    """A graph loaded by one library for one device."""

    provider: str
    """What really runs, as it stands in the audit and in the memo's key."""
    input_shape: tuple[int | None, ...]
    """The model's ``[N, 3, H, W]``; a dimension that this backend can choose freely is ``None``."""
    prefers_batches: bool
    """Several frames in one call are faster than one at a time."""

    def compile(self, shape: tuple[int, int, int, int], calls_at_once: int) -> CompiledGraph:
        """Make the graph ready for inputs of ``shape``, and for up to ``calls_at_once`` threads that call it together.

        The shape is fixed so that memory is planned once. Raises ``ModelError`` for a size that the graph cannot take.
        """


def check_ports(inputs: Sequence[Port], outputs: Sequence[Port], model: str) -> None:
    """Raise ``ModelError`` unless a graph has one NCHW float32 RGB input and one float32 output.

    The output's shape is left to a run: of what files and libraries say of it, not everything is so.
    """
    cure = _suggest_rewrap(model, inputs)
    if not (_is_one_float32(inputs) and len(inputs[0].shape) == 4 and inputs[0].shape[1] == 3):
        raise ModelError(_describe_wrong_ports(model, "input", "[N, 3, H, W]", inputs) + cure)
    if not _is_one_float32(outputs):
        raise ModelError(_describe_wrong_ports(model, "output", "[N, 1, H, W]", outputs) + cure)


def rewrap_command(model: str, *options: str) -> str:
    """The command that makes a saliency model of the file ``model``, which ends otherwise than one."""
    output = f"{PurePath(model).stem}_mirror_v1.onnx"
    return shlex.join(["saliency-export", "rewrap", model, "--output", output, *options])


def shorten_message(error: BaseException) -> str:
    """A library's message on one line, without places in the library's source, cut to 400 characters.

    Of a card's failure, wherever it stands in the message, the reason alone is kept.
    """
    text = _SOURCE_PLACE.sub("", re.sub(r"\s+", " ", str(error))).strip()
    failure = _CARD_FAILURE.search(text)
    return (failure[0] if failure else text)[:400] or type(error).__name__


def make_run_error(error: BaseException) -> SaliencyError:
    """What a library's ``error`` in the middle of a run means: an ``InferenceError``, or the end of the card."""
    message = shorten_message(error)
    failure = _CARD_FAILURE.match(message)
    return make_card_error(message, int(failure[2]) if failure and failure[1] == "CUDA" else 0)


def make_card_error(message: str, code: int) -> SaliencyError:
    """An ``InferenceError`` with ``message``, or a ``ProviderError`` where ``code``, CUDA's, ends all work on the card.

    The latter stops the run: all other clips would fail, too.
    """
    if code not in _FATAL:
        return InferenceError(message)
    return ProviderError(
        f"the card cannot go on after an error: {message}. Run the same command again, which computes only what the "
        "memo does not know; if it comes back, look at the driver's log"
    )


def _is_one_float32(ports: Sequence[Port]) -> bool:
    return len(ports) == 1 and ports[0].kind == "float32"


def _suggest_rewrap(model: str, inputs: Sequence[Port]) -> str:
    """The command to give, where the input is such that nodes in front of it can help; else empty."""
    if len(inputs) != 1 or inputs[0].kind not in {"float32", "float16", "uint8"} or len(inputs[0].shape) != 4:
        return ""
    _, second, _, last = inputs[0].shape
    channels_last = second != 3 and last == 3
    if not channels_last and second not in {3, None}:
        return ""
    layout = ("--layout", "nhwc") if channels_last else ()
    return f". A file as its authors ship it becomes one by: {rewrap_command(model, *layout)}"


def _describe_wrong_ports(model: str, port: str, shape: str, ports: Sequence[Port]) -> str:
    present = ", ".join(map(str, ports)) or "none"
    return (
        f"{model} is not a saliency model: it must have one float32 {port} of shape {shape}, but it has {present}. "
        f"Export it with one such {port} and no other"
    )
