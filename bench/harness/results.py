"""Where results are kept, and the figure that says how fast the machine is."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from saliency_engine.machine import describe

RESULTS = Path(__file__).resolve().parents[1] / "results"


def float32_gflops(size: int = 2048, repeats: int = 9) -> float:
    """10^9 float32 operations per second in the fastest of several large matrix products in numpy, on all cores."""
    left, right = np.random.default_rng(0).standard_normal((2, size, size), dtype=np.float32)
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        left @ right
        seconds.append(time.perf_counter() - started)
    return 2 * size**3 / min(seconds) / 1e9


def save(name: str, figures: dict[str, Any], folder: Path) -> None:
    """Write ``figures``, and which machine gave them, as ``<name>.json`` into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)  # a measurement is not lost for want of a folder
    (folder / f"{name}.json").write_text(json.dumps({"machine": describe(), **figures}, indent=1) + "\n")
