"""Runs the checkout's code: in a process of its own, without network, from a folder that is gone afterwards."""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from saliency_engine.errors import ModelError

_OLDEST_TORCH = (2, 10)
# What the child needs of its parent's environment; not the proxies, tokens and keys that may be there.
_PASSED_ON = ("PATH", "HOME", "TMPDIR", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "PYTHONPATH", "OMP_NUM_THREADS")


@dataclass(frozen=True)
class Exported:
    """What came back: the raw ONNX file, torch's maps float32 ``[n, H, W]``, and the child's answer.

    ``answer`` holds ``torch`` (its version), ``network`` (how it was cut off), and the names that the checkpoint had
    ``missing`` or ``unexpected``.
    """

    onnx: bytes
    maps: NDArray[np.float32]
    answer: dict[str, Any]


def check_torch() -> None:
    """Raise ``ModelError`` unless torch is there and new enough that ``weights_only`` can be relied on."""
    try:
        version = importlib.metadata.version("torch")
    except importlib.metadata.PackageNotFoundError as error:
        raise ModelError("exporting U2NETP needs torch: pip install 'saliency-batch[export]'") from error
    numbers = tuple(int(part) for part in re.findall(r"\d+", version)[:2])
    if numbers < _OLDEST_TORCH:
        raise ModelError(
            f"torch {version} can run code from a checkpoint even with weights_only; 2.10 or newer is needed"
        )


def run(request: Mapping[str, Any], frames: NDArray[np.float32]) -> Exported:
    """Have ``torch_export.export`` do ``request`` on ``frames`` in the child.

    Raises ``ModelError`` with what it says went wrong, or with how it ended where it could not say.
    """
    with TemporaryDirectory(prefix="saliency-export-") as name:
        folder = Path(name)
        asked, answered, onnx, maps = (
            folder / part for part in ("request.json", "answer.json", "model.onnx", "maps.npy")
        )
        np.save(folder / "frames.npy", frames)
        paths = {"frames": str(folder / "frames.npy"), "onnx": str(onnx), "maps": str(maps)}
        asked.write_text(json.dumps({**request, **paths}), encoding="utf-8")
        # -P and -B: neither is anything imported from the current folder, nor anything written beside the checkout.
        command = [sys.executable, "-P", "-B", "-m", "saliency_exporter.u2netp.torch_child", str(asked), str(answered)]
        environment = {key: os.environ[key] for key in _PASSED_ON if key in os.environ}
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False, env=environment)
        if not answered.exists():
            last = " ".join(done.stderr.split())[-300:]
            raise ModelError(f"the process that runs the checkout's code ended with status {done.returncode}: {last}")
        answer = json.loads(answered.read_text(encoding="utf-8"))
        if "error" in answer:
            raise ModelError(answer["error"])
        found = np.load(maps)
        if found.ndim != 4 or found.shape[:2] != (len(frames), 1):
            raise ModelError(f"the network gave maps of shape {list(found.shape)} for {len(frames)} frames")
        return Exported(onnx.read_bytes(), np.asarray(found[:, 0], np.float32), answer)
