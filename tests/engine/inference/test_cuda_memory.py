"""Page-locked memory and copies of the CUDA runtime: a stand-in for the runtime, which cannot be here."""

from __future__ import annotations

import ctypes
import gc
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import onnxruntime
import pytest

from saliency_engine.errors import InferenceError, ProviderError
from saliency_engine.inference.cuda_memory import CudaMemory


class _Runtime:
    """The calls of the CUDA runtime that are used, on main memory, with ctypes' own arguments."""

    def __init__(self) -> None:
        self.held: dict[int, Any] = {}
        self.streams: list[int] = []
        self.code = 0
        self.cudaGetErrorString = lambda _: b"out of memory"
        self.cudaFreeHost = lambda address: self.held.pop(address.value)

    def cudaHostAlloc(self, address: Any, size: ctypes.c_size_t, flags: ctypes.c_uint) -> int:  # noqa: N802
        if not self.code:
            memory = ctypes.create_string_buffer(size.value)
            address._obj.value = ctypes.addressof(memory)
            self.held[ctypes.addressof(memory)] = memory
        return self.code + flags.value

    def cudaStreamCreateWithFlags(self, stream: Any, flags: ctypes.c_uint) -> int:  # noqa: N802
        assert flags.value == 1
        stream._obj.value = len(self.streams) + 1
        self.streams.append(0)
        return 0

    def cudaMemcpyAsync(  # noqa: N802
        self, to: ctypes.c_void_p, what: ctypes.c_void_p, size: ctypes.c_size_t, kind: ctypes.c_int, stream: Any
    ) -> int:
        assert kind.value == 4
        ctypes.memmove(to, what, size.value)
        self.streams[stream.value - 1] += 1
        return 0

    def cudaStreamSynchronize(self, stream: ctypes.c_void_p) -> int:  # noqa: N802
        return 0 if stream.value else 1


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> _Runtime:
    """A stand-in for the CUDA runtime, in the place of the library."""
    runtime = _Runtime()
    monkeypatch.setattr(ctypes, "CDLL", lambda _: runtime)
    return runtime


def test_page_locked_memory_lives_as_long_as_its_arrays(runtime: _Runtime) -> None:
    array = CudaMemory().allocate((2, 3), np.uint16)
    array[...] = 7
    view = array[1]
    del array
    gc.collect()
    assert view.tolist() == [7, 7, 7]
    assert len(runtime.held) == 1
    del view
    gc.collect()
    assert not runtime.held


def test_every_thread_copies_on_a_stream_of_its_own(runtime: _Runtime) -> None:
    memory = CudaMemory()
    source, target = memory.allocate((1000,), np.float32), memory.allocate((1000,), np.float32)
    source[...] = np.arange(1000)

    def copy_twice(_: int) -> None:
        for _ in range(2):
            memory.copy(target.ctypes.data, source.ctypes.data, source.nbytes)

    copy_twice(0)
    with ThreadPoolExecutor(1) as other:
        list(other.map(copy_twice, range(3)))
    np.testing.assert_array_equal(target, source)
    assert runtime.streams == [2, 6]


def test_an_error_of_the_runtime_says_which_call_and_why(runtime: _Runtime) -> None:
    runtime.code = 2
    with pytest.raises(InferenceError, match="cudaHostAlloc: out of memory"):
        CudaMemory().allocate((2, 3), np.uint16)
    runtime.code = 700
    with pytest.raises(ProviderError, match="the card cannot go on after an error: cudaHostAlloc: "):
        CudaMemory().allocate((2, 3), np.uint16)


def test_a_missing_runtime_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxruntime, "cuda_version", "1.0")
    with pytest.raises(ProviderError, match=r"libcudart\.so\.1 cannot be loaded"):
        CudaMemory()
