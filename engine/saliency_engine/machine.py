"""What figures were measured on: processor, memory, graphics cards, system, packages."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import subprocess
from pathlib import Path
from typing import Any

PACKAGES = ("saliency-batch", "av", "numba", "numpy", "onnxruntime-gpu", "onnxruntime", "openvino", "orjson", "pyarrow")
# Instruction sets that decide how fast a model runs: vectors, 8-bit and 16-bit arithmetic, tiles; x86 and ARM names.
_FLAGS = (
    *("avx2", "fma", "avx512f", "avx_vnni", "avx512_vnni", "avx512_bf16", "avx512_fp16"),
    *("amx_tile", "amx_int8", "amx_bf16", "asimddp", "i8mm", "bf16", "sve"),
)


def describe() -> dict[str, Any]:
    """This machine; JSON values only.

    ``cores``: those this process may use; ``memory_gb`` in 10^9 bytes; ``gpus``: name, memory and driver of every
    NVIDIA card, as ``nvidia-smi`` has them. What cannot be found out is empty or ``None``.
    """
    cpu, flags = _processor()
    return {
        "cpu": cpu,
        "flags": flags,
        "cores": cores(),
        "memory_gb": _memory_gb(),
        "gpus": _gpus(),
        "platform": platform.platform(),
        "versions": versions(),
    }


def cores() -> int:
    """Processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def versions() -> dict[str, str]:
    """Python's version and those of the packages that make the numbers, where installed."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _processor() -> tuple[str, list[str]]:
    """Its name and those of ``_FLAGS`` that it has."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:  # not Linux
        return platform.processor() or platform.machine(), []
    parts = [(key.strip(), value.strip()) for key, _, value in (line.partition(":") for line in lines)]
    name = next((value for key, value in parts if key == "model name"), platform.machine())
    has = set(next((value for key, value in parts if key in {"flags", "Features"}), "").split())
    return name, [flag for flag in _FLAGS if flag in has]


def _memory_gb() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1)
    except (ValueError, OSError):
        return None


def _gpus() -> list[str]:
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    command = [program, "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    try:
        said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.strip() for line in said.splitlines() if line.strip()]
