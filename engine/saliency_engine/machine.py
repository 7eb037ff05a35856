"""The machine that figures were measured on: processor, memory, graphics cards, system, packages."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import shutil
import subprocess
from pathlib import Path
from typing import Any

from saliency_engine.errors import ConfigError

PACKAGES = (
    *("saliency-batch", "av", "numba", "numpy", "onnxruntime-gpu", "onnxruntime", "openvino", "orjson", "pyarrow"),
    *("scenedetect-headless", "opencv-python-headless"),
)
_ANALYSIS = {"jinja2": "jinja2", "matplotlib": "matplotlib", "scipy": "scipy", "sklearn": "scikit-learn"}
"""The libraries of the extra ``analysis``, by the names of their modules."""
# Instruction sets that decide how fast a model runs: vectors, 8-bit and 16-bit arithmetic, tiles.
_X86_FLAGS = ("avx2", "fma", "avx512f", "avx_vnni", "avx512_vnni", "avx512_bf16", "avx512_fp16")
_AMX_FLAGS = ("amx_tile", "amx_int8", "amx_bf16")
_ARM_FLAGS = ("asimddp", "i8mm", "bf16", "sve")


def describe() -> dict[str, Any]:
    """This machine; JSON values only.

    ``cores`` counts those that this process may use; ``memory_gb`` is in 10^9 bytes; ``gpus`` has the name, memory and
    driver of every NVIDIA card, as ``nvidia-smi`` prints them. What cannot be learned is empty or ``None``.
    """
    cpu, flags = _read_processor()
    return {
        "cpu": cpu,
        "flags": flags,
        "cores": cores(),
        "memory_gb": _read_memory_gb(),
        "gpus": _list_gpus(),
        "platform": platform.platform(),
        "versions": versions(),
    }


def cores() -> int:
    """Processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def has_nvidia_driver() -> bool:
    """Whether NVIDIA's driver is loaded: Linux's own, or Windows' under WSL. Some containers show its device alone."""
    places = "/proc/driver/nvidia/version", "/dev/nvidiactl", "/dev/dxg"
    return any(Path(place).exists() for place in places)


def onnxruntime_package() -> str:
    """The package with ONNX Runtime that this program needs here, as in pyproject.toml.

    ``onnxruntime-gpu`` is made for x86-64 alone, and its files are those of ``onnxruntime``: only one can be there.
    """
    has_gpu_build = platform.system() == "Linux" and platform.machine() == "x86_64"
    return "onnxruntime-gpu" if has_gpu_build else "onnxruntime"


def versions() -> dict[str, str]:
    """Versions of Python and of the installed packages that make the numbers."""
    installed = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            installed[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return installed


def require_analysis(command: str) -> None:
    """Raise ``ConfigError`` where ``command`` lacks a library of the extra ``analysis``; none of them is loaded."""
    missing = [name for module, name in _ANALYSIS.items() if importlib.util.find_spec(module) is None]
    if missing:
        raise ConfigError(f"{command} needs {' and '.join(missing)}: pip install 'saliency-batch[analysis]'")


def _read_processor() -> tuple[str, list[str]]:
    """The processor's name, and which of the flags above it has."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:  # not Linux
        return platform.processor() or platform.machine(), []
    parts = [(key.strip(), value.strip()) for key, _, value in (line.partition(":") for line in lines)]
    name = next((value for key, value in parts if key == "model name"), platform.machine())
    has = set(next((value for key, value in parts if key in {"flags", "Features"}), "").split())
    return name, [flag for flag in _X86_FLAGS + _AMX_FLAGS + _ARM_FLAGS if flag in has]


def _read_memory_gb() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1)
    except (ValueError, OSError):
        return None


def _list_gpus() -> list[str]:
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    command = [program, "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    try:
        listing = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.strip() for line in listing.splitlines() if line.strip()]
