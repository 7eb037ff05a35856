"""Manifests: sorted JSON beside each model, saying where it came from and what was measured."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from saliency_engine.errors import ModelError
from saliency_engine.report.provenance import run_provenance


def beside(output: Path) -> Path:
    """Where a model's manifest is unless told otherwise."""
    return Path(f"{output}.manifest.json")


def outputs(path: Path, content: bytes) -> dict[str, str]:
    """The manifest's part about the model file."""
    return {"onnx_path": str(path), "onnx_sha256": hashlib.sha256(content).hexdigest()}


def provenance(
    inputs: Mapping[str, Path], output: Path, content: bytes, arguments: Mapping[str, Any]
) -> dict[str, Any]:
    """``ai-run-provenance-v1`` of a command whose output ``content`` is not on disk yet."""
    plain = {name: _plain(value) for name, value in arguments.items()}
    told = run_provenance({name: str(path) for name, path in inputs.items()}, {}, plain)
    digest = hashlib.sha256(content).hexdigest()
    told["outputs"] = {"onnx": {"path": str(output), "exists": True, "kind": "file", "sha256": digest}}
    return told


def as_bytes(manifest: Mapping[str, Any]) -> bytes:
    """Sorted keys, indented, a newline at the end."""
    return orjson.dumps(manifest, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE)


def read(path: Path, schema: str) -> dict[str, Any]:
    """A manifest from disk. Raises ``ModelError`` when it cannot be read or its schema is not ``schema``."""
    try:
        manifest = json.loads(path.read_bytes())
    except OSError as error:
        raise ModelError(f"cannot read the manifest {path}: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path} is not JSON: {error}") from error
    found = manifest.get("schema") if isinstance(manifest, dict) else None
    if found != schema:
        raise ModelError(f"{path} is not a manifest of schema {schema} (its schema: {found})")
    return dict(manifest)


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    return list(value) if isinstance(value, tuple) else value
