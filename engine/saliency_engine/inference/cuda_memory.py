"""Page-locked memory, and copies that overlap with computing, by ctypes from the CUDA runtime.

ONNX Runtime's Python interface has neither: it copies from pageable memory and into new arrays, and holds Python's
lock meanwhile. The functions are described at https://docs.nvidia.com/cuda/cuda-runtime-api.
"""

from __future__ import annotations

import ctypes
import math
import threading
import weakref
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import DTypeLike, NDArray

from saliency_engine.errors import ProviderError
from saliency_engine.inference.backend import make_card_error

_NON_BLOCKING = 1  # a stream that does not wait for the default one
_ANY_DIRECTION = 4  # cudaMemcpyDefault: the addresses say which


class CudaMemory:
    """The memory of the first card that CUDA shows (``CUDA_VISIBLE_DEVICES`` chooses). Raises ``ProviderError``."""

    kind = "cuda"

    def __init__(self) -> None:
        name = f"libcudart.so.{str(onnxruntime.cuda_version).partition('.')[0]}"  # the one ONNX Runtime has loaded
        try:
            self._library = ctypes.CDLL(name)
        except OSError as error:
            raise ProviderError(f"{name} cannot be loaded ({error}): pip install 'saliency-batch[cuda]'") from error
        self._library.cudaGetErrorString.restype = ctypes.c_char_p
        self._own = threading.local()

    def allocate(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """See ``Memory``: page-locked, freed with the last array that looks into it."""
        size, address = math.prod(shape) * np.dtype(dtype).itemsize, ctypes.c_void_p()
        self._call("cudaHostAlloc", ctypes.byref(address), ctypes.c_size_t(size), ctypes.c_uint(0))
        memory: Any = (ctypes.c_char * size).from_address(address.value or 0)
        weakref.finalize(memory, self._library.cudaFreeHost, address).atexit = False
        return np.ndarray(shape, dtype, memory)

    def copy(self, target: int, source: int, size: int) -> None:
        """See ``Memory``."""
        if not hasattr(self._own, "stream"):
            self._own.stream = ctypes.c_void_p()
            self._call("cudaStreamCreateWithFlags", ctypes.byref(self._own.stream), ctypes.c_uint(_NON_BLOCKING))
        to, whence, count = ctypes.c_void_p(target), ctypes.c_void_p(source), ctypes.c_size_t(size)
        self._call("cudaMemcpyAsync", to, whence, count, ctypes.c_int(_ANY_DIRECTION), self._own.stream)
        self._call("cudaStreamSynchronize", self._own.stream)

    def _call(self, function: str, *arguments: Any) -> None:
        if code := getattr(self._library, function)(*arguments):
            raise make_card_error(f"{function}: {self._library.cudaGetErrorString(code).decode()}", code)
