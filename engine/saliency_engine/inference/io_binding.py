"""Runs of an ONNX Runtime session whose input and output stay in the device's memory.

Frames and maps are copied outside the runs: while one set of buffers is with the model, another is being copied.
"""

from __future__ import annotations

import ctypes
import math
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, Protocol

import numpy as np
import onnxruntime
from numpy.typing import DTypeLike, NDArray

from saliency_engine.errors import InferenceError
from saliency_engine.inference.backend import make_run_error, shorten_message
from saliency_engine.numerics.normalize import normalize

_KINDS: Final = {"tensor(float)": np.float32, "tensor(uint16)": np.uint16}
# How far maps on bound buffers may be from those of a plain run. Those of another input would be further off.
_SAME = 1e-3
_NO_GRAPH = -1  # a run with this number neither captures a graph nor replays one


class Memory(Protocol):
    """A device's memory."""

    kind: str
    """ONNX Runtime's name for the device, ``cpu`` or ``cuda``."""

    def allocate(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """An array in main memory that the device copies from and to at full speed."""

    def copy(self, target: int, source: int, size: int) -> None:
        """Copy ``size`` bytes between addresses and return when done, beside whatever the device computes.

        Raises ``InferenceError``.
        """


class MainMemory:
    """Main memory, for ONNX Runtime's CPU provider: everything here can be tried without a card."""

    kind = "cpu"

    def allocate(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """See ``Memory``."""
        return np.zeros(shape, dtype)

    def copy(self, target: int, source: int, size: int) -> None:
        """See ``Memory``."""
        ctypes.memmove(target, source, size)


class Buffers:
    """One set of buffers: frames and maps in main memory, the same on the device, and their binding to the session.

    ``frames`` is uint16 or float32, ``maps`` float32, both in main memory; ``shapes`` are theirs. ``graph`` is the
    number of the CUDA graph that runs on these buffers, or ``_NO_GRAPH``.
    """

    def __init__(
        self, session: Any, memory: Memory, shapes: tuple[tuple[int, ...], tuple[int, ...]], graph: int
    ) -> None:
        kind = _KINDS[session.get_inputs()[0].type]
        self._session, self._memory = session, memory
        self.frames = memory.allocate(shapes[0], kind)
        self.maps = memory.allocate(shapes[1], np.float32)
        self._input = _make_device_array(shapes[0], kind, memory.kind)
        self._output = _make_device_array(shapes[1], np.float32, memory.kind)
        self._binding = session.io_binding()
        self._binding.bind_ortvalue_input(session.get_inputs()[0].name, self._input)
        self._binding.bind_ortvalue_output(session.get_outputs()[0].name, self._output)
        self._options = _make_run_options(graph)

    def send(self, frames: NDArray[np.uint16]) -> None:
        """Copy ``frames`` to the device; they are normalised here unless the graph does it there."""
        if self.frames.dtype == np.uint16:
            if frames.shape != self.frames.shape:  # numpy would repeat them to fit
                raise ValueError(f"frames of shape {list(frames.shape)}, not {list(self.frames.shape)}")
            self.frames[...] = frames
        else:
            normalize(frames, self.frames)
        self._memory.copy(self._input.data_ptr(), self.frames.ctypes.data, self.frames.nbytes)

    def run(self) -> None:
        """Run the session on what was sent; returns when it is done.

        Raises ``InferenceError``, and ``ProviderError`` where the card cannot go on.
        """
        try:
            self._session.run_with_iobinding(self._binding, self._options)
        except Exception as error:  # onnxruntime's errors share no base class but Exception
            raise make_run_error(error) from error

    def fetch(self) -> NDArray[np.float32]:
        """The maps of the last run; valid until the next ``fetch``."""
        self._memory.copy(self.maps.ctypes.data, self._output.data_ptr(), self.maps.nbytes)
        return self.maps

    def run_plainly(self) -> NDArray[np.float32]:
        """The maps of what was sent, by a run that neither these buffers nor a graph have a part in.

        Raises ``InferenceError``.
        """
        return _run_plainly(self._session, self.frames)


class BoundSession:
    """A ``CompiledGraph``: one session with a set of buffers for each of ``calls_at_once`` calling threads.

    ``shape`` is the input's, ``[n, 3, H, W]``; the output's is learned by a run. ``graphs``: the session
    captures CUDA graphs. Raises ``InferenceError`` when it does not run, there is no memory for the buffers, or the
    bound buffers give other maps than a run without them.
    """

    def __init__(
        self, session: Any, memory: Memory, shape: tuple[int, ...], calls_at_once: int, *, graphs: bool, remark: str
    ) -> None:
        self.remark = remark
        # A captured graph belongs to the thread that captured it, and runs may not overlap: one thread runs them all.
        self._runner = ThreadPoolExecutor(1, thread_name_prefix=memory.kind)
        self._own = threading.local()
        map_shape = self._runner.submit(_find_map_shape, session, shape).result()
        # Graph 0 is the library's own.
        numbers = [call + 1 if graphs else _NO_GRAPH for call in range(calls_at_once)]
        self._unused = [Buffers(session, memory, (shape, map_shape), number) for number in numbers]
        for buffers in self._unused:
            self._runner.submit(_rehearse, buffers, graphs).result()

    def __call__(self, frames: NDArray[np.uint16]) -> NDArray[np.float32]:
        """See ``CompiledGraph``."""
        if not hasattr(self._own, "buffers"):
            self._own.buffers = self._unused.pop()
        buffers: Buffers = self._own.buffers
        buffers.send(frames)
        self._runner.submit(buffers.run).result()
        return buffers.fetch()


def _make_run_options(graph: int) -> Any:
    options = onnxruntime.RunOptions()
    options.add_run_config_entry("gpu_graph_id", str(graph))
    return options


def _make_device_array(shape: tuple[int, ...], dtype: DTypeLike, kind: str) -> Any:
    try:
        return onnxruntime.OrtValue.ortvalue_from_shape_and_type(list(shape), dtype, kind, 0)
    except Exception as error:  # onnxruntime's errors share no base class but Exception
        raise InferenceError(f"no memory for buffers: {shorten_message(error)}") from error


def _find_map_shape(session: Any, shape: tuple[int, ...]) -> tuple[int, ...]:
    return _run_plainly(session, np.zeros(shape, _KINDS[session.get_inputs()[0].type])).shape


def _run_plainly(session: Any, frames: NDArray[Any]) -> NDArray[np.float32]:
    try:
        maps = session.run(None, {session.get_inputs()[0].name: frames}, _make_run_options(_NO_GRAPH))[0]
    except Exception as error:  # onnxruntime's errors share no base class but Exception
        raise make_run_error(error) from error
    return np.asarray(maps)


def _rehearse(buffers: Buffers, graphs: bool) -> None:
    """Run until graphs are captured, while nothing else uses the device, and check the maps.

    ONNX Runtime captures a graph at the second run of a binding at the latest. The third run's picture is another one:
    its maps show whether a replay, or a plain run on these buffers, reads what was sent.
    """
    shape = buffers.frames.shape
    black = np.zeros(shape, np.uint16)
    ramp = np.linspace(0, 65535, math.prod(shape[2:])).astype(np.uint16).reshape(shape[2:])
    for frames in (black, black, np.broadcast_to(ramp, shape)):
        buffers.send(frames)
        buffers.run()
    if not np.allclose(buffers.fetch(), buffers.run_plainly(), atol=_SAME, equal_nan=True):
        what = "a replayed CUDA graph" if graphs else "a run on bound buffers"
        raise InferenceError(f"{what} gave other maps than a plain run")
