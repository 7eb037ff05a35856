"""What the figures were measured on, and where results are kept."""

from __future__ import annotations

import json
import os
import platform
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

RESULTS = Path(__file__).resolve().parent / "results"
_PACKAGES = (
    *("av", "numba", "numpy", "onnxruntime-gpu", "onnxruntime", "openvino", "orjson", "pyarrow", "torch"),
    "saliency-batch",
)


def machine() -> dict[str, Any]:
    """Processor, cores this process may use, memory, platform, Python and packages."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    cpu = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    flags = next((line.split() for line in lines if line.startswith("flags")), [])
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return {
        "cpu": cpu,
        "flags": [
            flag for flag in ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "amx_bf16", "amx_int8") if flag in flags
        ],
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "packages": found,
    }


def float32_gflops(size: int = 2048, repeats: int = 9) -> float:
    """10^9 float32 operations per second of a large matrix product in numpy, on all cores: the best run."""
    left, right = np.random.default_rng(0).standard_normal((2, size, size), dtype=np.float32)
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        left @ right
        seconds.append(time.perf_counter() - started)
    return 2 * size**3 / min(seconds) / 1e9


def save(name: str, figures: dict[str, Any], folder: Path) -> None:
    """Write ``figures`` with the machine as ``<name>.json`` into ``folder``."""
    (folder / f"{name}.json").write_text(json.dumps({"machine": machine(), **figures}, indent=1) + "\n")
