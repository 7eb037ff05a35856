"""What ran, on what, and what came of it: the audit of a run.

``run_provenance`` follows the schema ``ai-run-provenance-v1`` of the VMAFx tools, so that their readers accept it.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from saliency_engine.config import RunConfig, TableJob
from saliency_engine.machine import versions
from saliency_engine.models.load import Model
from saliency_engine.pipeline.engine import Engine
from saliency_engine.storage.atomic import write_together


def audit(job: TableJob, config: RunConfig, engine: Engine, rejected: int) -> dict[str, Any]:
    """The audit of a finished run; JSON values only. ``provenance_of`` is the rest of it.

    ``rejected`` lines are among its rows, and have failed.
    """
    counts, elapsed = engine.counts, engine.clock.elapsed
    return {
        "input": job.input,
        "output": job.output,
        "rejects": job.rejects_path if rejected else None,
        "config": {**asdict(job), **asdict(config)},
        "summary": {
            "total": counts.rows + rejected,
            "ok": counts.ok,
            "skipped_existing": counts.skipped_existing,
            "failed": counts.failed + rejected,
            "rejected": rejected,
        },
        "clips": {
            "computed": counts.clips_computed,
            "reused": counts.clips_reused,
            "failed": counts.clips_failed,
            "frames": counts.frames,
        },
        "model": engine.model.as_json(),
        "machine": {
            "provider": engine.session.provider,
            "remark": engine.session.remark,
            "threads": engine.threads,
            "decode_workers": engine.decode_workers,
            "cores": os.cpu_count(),
            "platform": platform.platform(),
        },
        "versions": versions(),
        "seconds": round(elapsed, 3),
        "stages": stages(engine),
    }


def provenance_of(job: TableJob, config: RunConfig, model: Model, rejects: str | None) -> dict[str, Any]:
    """``run_provenance`` of a run; reads input and output once more, for their hashes."""
    outputs = {"output": job.output} | ({"rejects": rejects} if rejects else {})
    told = run_provenance({"input": job.input}, outputs, {**asdict(job), **asdict(config)})
    # Of the model the bytes that ran are told, not those that its path holds by now.
    told["inputs"]["model"] = {"path": model.source, "exists": True, "kind": "file", "sha256": model.sha256}
    return told


def stages(engine: Engine) -> dict[str, dict[str, float]]:
    """Seconds each stage was busy, and its share of the run's time (decoding: of all its workers' time)."""
    elapsed = engine.clock.elapsed
    return {
        name: {
            "seconds": round(seconds, 3),
            "share": round(seconds / (elapsed * (engine.decode_workers if name == "decode" else 1)), 4),
        }
        for name, seconds in engine.clock.seconds.items()
    }


def run_provenance(inputs: Mapping[str, str], outputs: Mapping[str, str], args: Mapping[str, Any]) -> dict[str, Any]:
    """``ai-run-provenance-v1``: the command, and the hash of every file that went in or came out."""
    return {
        "schema": "ai-run-provenance-v1",
        "entrypoint": describe(sys.argv[0]),
        "argv": list(sys.argv),
        "args": dict(args),
        "inputs": {name: describe(path) for name, path in inputs.items()},
        "outputs": {name: describe(path) for name, path in outputs.items()},
    }


def describe(path: str) -> dict[str, Any]:
    """A path as the provenance shows it; files with their sha256."""
    target = Path(path)
    if target.is_file():
        with target.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        return {"path": path, "exists": True, "kind": "file", "sha256": digest}
    kind = "directory" if target.is_dir() else "missing"
    return {"path": path, "exists": kind == "directory", "kind": kind}


def write_json(path: str, value: Mapping[str, Any]) -> None:
    """Write sorted, indented JSON with a final newline, atomically. Raises ``OutputError``."""
    # Not orjson's: it refuses file names that are not UTF-8. A lone surrogate is written as the escape that it was.
    text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    write_together({Path(path): text.encode("utf-8", "backslashreplace")})
