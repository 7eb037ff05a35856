"""Manifests: what may be read, and that writing one needs nothing of the engine that runs tables."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

from saliency_engine.errors import ModelError
from saliency_exporter import manifest


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot read the manifest"),
        (b"{", "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b"[]", "is not a manifest of schema mine-v1: its schema is None"),
        (b'{"schema": "theirs-v1"}', "is not a manifest of schema mine-v1: its schema is theirs-v1"),
    ],
)
def test_what_is_no_manifest(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "manifest.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ModelError, match=message):
        manifest.read(path, "mine-v1")


def test_a_manifest_comes_back_as_it_was_written(tmp_path: Path) -> None:
    path = manifest.default_path(tmp_path / "model.onnx")
    assert path.name == "model.onnx.manifest.json"
    path.write_bytes(manifest.serialize({"schema": "mine-v1", "b": [1.5, None], "a": "é"}))
    assert list(manifest.read(path, "mine-v1")) == ["a", "b", "schema"]


def test_paths_that_are_not_utf8_are_escaped() -> None:
    """JSON has no NaN either: it is null, as ever."""
    path = os.fsdecode(b"caf\xe9/\xc3\xa9.png")
    content = manifest.serialize({"paths": [path, (path,)], path: {"nan": math.nan, "number": 1}})
    assert json.loads(content) == {
        "caf\\udce9/\u00e9.png": {"nan": None, "number": 1},
        "paths": ["caf\\udce9/\u00e9.png", ["caf\\udce9/\u00e9.png"]],
    }


def test_the_engine_is_not_loaded() -> None:
    code = (
        "import sys, saliency_exporter.manifest\n"
        "rooms = ('pipeline', 'inference', 'models', 'tables', 'video')\n"
        "print([name for name in sys.modules if name.startswith(tuple(f'saliency_engine.{room}' for room in rooms))])\n"
        "print([name for name in ('av', 'numba', 'numpy', 'onnxruntime', 'pyarrow') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["[]", "[]"]
