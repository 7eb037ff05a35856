"""Where a file came from: ``ai-run-provenance-v1``, the schema of the VMAFx tools, which their readers accept."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def run_provenance(inputs: Mapping[str, str], outputs: Mapping[str, str], args: Mapping[str, Any]) -> dict[str, Any]:
    """The command that ran with its arguments ``args``, and the sha256 of every file that went in or came out."""
    return {
        "schema": "ai-run-provenance-v1",
        "entrypoint": describe(sys.argv[0]),
        "argv": list(sys.argv),
        "args": dict(args),
        "inputs": {name: describe(path) for name, path in inputs.items()},
        "outputs": {name: describe(path) for name, path in outputs.items()},
    }


def describe(path: str) -> dict[str, Any]:
    """What stands at ``path``: a file with its sha256, a directory, or nothing. Reads the whole file."""
    target = Path(path)
    if target.is_file():
        return {"path": path, "exists": True, "kind": "file", "sha256": file_sha256(target)}
    kind = "directory" if target.is_dir() else "missing"
    return {"path": path, "exists": kind == "directory", "kind": kind}


def file_sha256(path: Path) -> str:
    """Lower-case hex sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
