"""What the engine takes for granted on a card, tried piece by piece; ``gpu.py`` gives each a process of its own."""

from __future__ import annotations

import ctypes
import os
import subprocess
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import saliency_engine  # noqa: F401  it switches off the telemetry of ONNX Runtime, so it comes first

# isort: split
import numpy as np
import onnxruntime
from harness.gpu_loops import CardSettings, Loop, agreement, load, read_size, there_and_back
from numpy.typing import NDArray

from saliency_engine.inference import nvidia
from saliency_engine.inference.session import GPU_CALLS_AT_ONCE

_BLOCKING_WAITS = 4  # cudaDeviceScheduleBlockingSync
_ROUNDS = 60


def start(path: Path, provider: str, batch: int) -> dict[str, Any]:
    """How long the start takes, what runs where, and how much of the card's memory is in use then."""
    started = time.perf_counter()
    backend = nvidia.Gpu(load(path), provider)
    loaded = time.perf_counter()
    compiled = backend.compile(_shape(path, batch), GPU_CALLS_AT_ONCE)
    seconds = {"loads in s": round(loaded - started, 2), "compiles in s": round(time.perf_counter() - loaded, 2)}
    versions = {"ONNX Runtime": onnxruntime.__version__, "CUDA": str(onnxruntime.cuda_version)}
    return {**seconds, **versions, "remark": compiled.remark, "card's memory in MB": _read_memory_mb()}


def start_without_cudnn(path: Path, provider: str, batch: int) -> dict[str, Any]:
    """Must be a ``ProviderError`` that says so."""
    CardSettings({"enable_cudnn": "0"}).apply()
    return start(path, provider, batch)


def start_without_memory(path: Path, provider: str, batch: int) -> dict[str, Any]:
    """Must be a ``ModelError`` that says so."""
    CardSettings({"gpu_mem_limit": str(8 << 20)}).apply()
    return start(path, provider, batch)


def calls_at_once(path: Path, provider: str, batch: int) -> dict[str, Any]:
    """Calls with frames of their own, all at once: every map must be that of its frames, bit for bit."""
    shape = _shape(path, batch)
    compiled = nvidia.Gpu(load(path), provider).compile(shape, GPU_CALLS_AT_ONCE)
    frames = [_draw(shape, seed) for seed in range(6)]
    with ThreadPoolExecutor(GPU_CALLS_AT_ONCE) as callers:
        maps = list(callers.map(lambda one: compiled(one).copy(), frames))
        wrong = callers.map(lambda n: not np.array_equal(compiled(frames[n % 6]), maps[n % 6]), range(_ROUNDS))
        differ = all(not np.array_equal(maps[0], other) for other in maps[1:])
        return {"calls": _ROUNDS, "wrong": sum(wrong), "maps differ": differ}


def numbers(path: Path, parent: Path, loop: Loop, clips: Sequence[Path], settings: CardSettings) -> dict[str, Any]:
    """``agreement`` in short, and what the environment said to NVIDIA's libraries meanwhile."""
    figures = agreement(path, parent, loop, clips, settings)
    return {
        "r": round(figures["correlation"], 6),
        "largest |Δmean|": float(f"{figures['delta_mean']:.1e}"),
        "largest difference of a pixel": float(f"{figures['max_abs']:.1e}"),
        "repeats": figures["repeats"],
        "NVIDIA_TF32_OVERRIDE": os.environ.get("NVIDIA_TF32_OVERRIDE"),
    }


def copies(path: Path, provider: str, batch: int) -> dict[str, Any]:
    """10^9 bytes a second of each copy of a frame batch; batches in page-locked memory would spare the first one."""
    shape = _shape(path, batch)
    compiled = nvidia.Gpu(load(path), provider).compile(shape, GPU_CALLS_AT_ONCE)
    buffers = compiled._unused[0]
    memory, there = buffers._memory, buffers._input.data_ptr()
    locked, frames = buffers.frames, _draw(shape, 0).astype(buffers.frames.dtype)
    steps: dict[str, tuple[Callable[[], Any], int]] = {
        "into page-locked memory": (lambda: np.copyto(locked, frames), locked.nbytes),
        "to the card, page-locked": (lambda: memory.copy(there, locked.ctypes.data, locked.nbytes), locked.nbytes),
        "to the card, pageable": (lambda: memory.copy(there, frames.ctypes.data, frames.nbytes), frames.nbytes),
        "from the card": (buffers.fetch, buffers.maps.nbytes),
    }
    return {"MB": round(locked.nbytes / 1e6, 1), **{name: _measure(*step) for name, step in steps.items()}}


def waits(path: Path, loop: Loop, blocking: bool) -> dict[str, Any]:
    """The engine's way there and back, and how many cores it keeps busy, with spinning or blocking waits."""
    if blocking and loop.provider != "cpu":
        onnxruntime.preload_dlls()
        library = ctypes.CDLL(f"libcudart.so.{str(onnxruntime.cuda_version).partition('.')[0]}")
        library.cudaSetDeviceFlags(_BLOCKING_WAITS)
    started, worked = time.perf_counter(), time.process_time()
    figures = there_and_back(path, loop, uint16=loop.provider != "tensorrt")
    busy = (time.process_time() - worked) / (time.perf_counter() - started)
    return {"frames_per_second": round(figures["frames_per_second"], 1), "cores busy": round(busy, 2)}


def _shape(path: Path, batch: int) -> tuple[int, int, int, int]:
    width, height = read_size(path)
    return batch, 3, height, width


def _draw(shape: tuple[int, int, int, int], seed: int) -> NDArray[np.uint16]:
    """Pictures of patches: of white noise a network's maps are flat."""
    n, channels, height, width = shape
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 65536, (n, channels, -(-height // 16), -(-width // 16)), np.uint16)
    return np.ascontiguousarray(coarse.repeat(16, 2).repeat(16, 3)[:, :, :height, :width])


def _measure(step: Callable[[], Any], size: int) -> float:
    step()
    started = time.perf_counter()
    for _ in range(20):
        step()
    return round(20 * size / (time.perf_counter() - started) / 1e9, 2)


def _read_memory_mb() -> int | None:
    command = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits"]
    try:
        return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[0])
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return None
