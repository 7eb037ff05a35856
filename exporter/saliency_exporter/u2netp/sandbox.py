"""Runs the checkout's code in a process of its own, without network, with a short environment.

This is not a jail for hostile code: that process can read and write what the user can.
"""

from __future__ import annotations

import json
import os
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

_PASSED_ON = ("PATH", "HOME", "TMPDIR", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "PYTHONPATH", "OMP_NUM_THREADS")
"""What the child needs of the environment; proxies, tokens and keys that may be there stay out."""


@dataclass(frozen=True)
class Exported:
    """What came back from the child."""

    onnx: bytes
    """The ONNX file as torch wrote it."""
    maps: NDArray[np.float32]
    """Torch's own maps of the frames, ``[n, H, W]``."""
    answer: dict[str, Any]
    """``torch``: its version; ``network``: how it was cut off; ``missing``, ``unexpected``: names of weights."""


def export_in_child(request: Mapping[str, Any], frames: NDArray[np.float32]) -> Exported:
    """Run ``torch_export.export`` on ``request`` and ``frames`` ``[n, 3, H, W]`` in the child.

    Raises ``ModelError`` with the child's message, or with its exit status and last words where it left no answer.
    """
    with TemporaryDirectory(prefix="saliency-export-") as name:
        folder = Path(name)
        request_path, answer_path = folder / "request.json", folder / "answer.json"
        paths = {"frames": folder / "frames.npy", "onnx": folder / "model.onnx", "maps": folder / "maps.npy"}
        np.save(paths["frames"], frames)
        request_path.write_text(json.dumps({**request, **paths}, default=str), encoding="utf-8")
        # -P: nothing is imported from the current folder; -B: no compiled file is written anywhere.
        command = [sys.executable, "-P", "-B", "-m", "saliency_exporter.u2netp.torch_child"]
        command += [str(request_path), str(answer_path)]
        environment = {key: os.environ[key] for key in _PASSED_ON if key in os.environ}
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False, env=environment)
        if not answer_path.exists():
            last_words = " ".join(done.stderr.split())[-300:]
            raise ModelError(
                f"the process that runs the checkout's code ended with status {done.returncode}: {last_words}"
            )
        answer = json.loads(answer_path.read_text(encoding="utf-8"))
        if "error" in answer:
            raise ModelError(answer["error"])
        maps = np.load(paths["maps"])
        if maps.ndim != 4 or maps.shape[:2] != (len(frames), 1):
            raise ModelError(f"the network gave maps of shape {list(maps.shape)} for {len(frames)} frames")
        return Exported(paths["onnx"].read_bytes(), np.asarray(maps[:, 0], np.float32), answer)
