"""Manifests of batches, and their tables."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

MODEL = "frequency_tuned_v1"


def write_manifest(folder: Path, tables: Sequence[dict[str, Any]], **defaults: Any) -> str:
    (folder / "m.json").write_text(json.dumps({"defaults": {"model": MODEL, **defaults}, "tables": tables}))
    return str(folder / "m.json")


def table(name: str, **options: Any) -> dict[str, Any]:
    return {"id": name, "input": f"{name}.jsonl", "output": f"out/{name}.jsonl", **options}
