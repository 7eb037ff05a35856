"""Manifests: sorted JSON beside each model that says where it came from and what was measured."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from saliency_engine.errors import ModelError
from saliency_engine.report.provenance import run_provenance

MIRROR_SCHEMA = "u2netp-mirror-export-manifest-v1"
"""Of models that upstream's weights are in as they were, whether they came as a checkpoint or as an ONNX file."""


def default_path(output: Path) -> Path:
    """Where the manifest of the model ``output`` is written when no other place is given."""
    return Path(f"{output}.manifest.json")


def describe_output(path: Path, content: bytes) -> dict[str, str]:
    """The manifest's ``outputs``: the model file that ``content`` will be written to."""
    return {"onnx_path": str(path), "onnx_sha256": hashlib.sha256(content).hexdigest()}


def describe_run(
    inputs: Mapping[str, Path], output: Path, content: bytes, arguments: Mapping[str, Any]
) -> dict[str, Any]:
    """``ai-run-provenance-v1`` of a command whose output ``content`` is not on disk yet."""
    values = {name: _to_json_value(value) for name, value in arguments.items()}
    provenance = run_provenance({name: str(path) for name, path in inputs.items()}, {}, values)
    digest = hashlib.sha256(content).hexdigest()
    provenance["outputs"] = {"onnx": {"path": str(output), "exists": True, "kind": "file", "sha256": digest}}
    return provenance


def serialize(manifest: Mapping[str, Any]) -> bytes:
    """Sorted keys, indented, with a newline at the end; bytes of paths that are not UTF-8 are escaped."""
    options = orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE
    return orjson.dumps(_escape(manifest), option=options)


def read(path: Path, schema: str) -> dict[str, Any]:
    """A manifest from disk. Raises ``ModelError`` when it cannot be read or its schema is not ``schema``."""
    try:
        manifest = json.loads(path.read_bytes())
    except OSError as error:
        raise ModelError(f"cannot read the manifest {path}: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise ModelError(f"the manifest {path} is not JSON: {error}") from error
    actual = manifest.get("schema") if isinstance(manifest, dict) else None
    if actual != schema:
        raise ModelError(f"{path} is not a manifest of schema {schema}: its schema is {actual}")
    return dict(manifest)


def _to_json_value(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    return list(value) if isinstance(value, tuple) else value


def _escape(value: Any) -> Any:
    """``value`` with escapes, in all of its texts, for bytes that are not UTF-8, which JSON cannot hold."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, Mapping):
        return {_escape(key): _escape(one) for key, one in value.items()}
    return [_escape(one) for one in value] if isinstance(value, list | tuple) else value
