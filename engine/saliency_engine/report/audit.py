"""The audit of a run: with which options it ran, on what, and what came of it."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from saliency_engine.config import RunConfig
from saliency_engine.machine import versions
from saliency_engine.models.load import Model
from saliency_engine.pipeline.clock import Clock
from saliency_engine.pipeline.counts import Counts
from saliency_engine.report.provenance import run_provenance
from saliency_engine.table_job import TableJob
from saliency_engine.tables.rejects import Rejects


@dataclass(frozen=True)
class RunsOn:
    """The model of a run, and what computes with it."""

    model: Model
    provider: str
    """The provider that really runs the model, by the name its library has for it."""
    remark: str
    """More about how the model runs, for people; often empty."""
    threads: int
    """Threads of the model on the CPU."""
    decode_workers: int


def audit_of(
    job: TableJob, config: RunConfig, runs_on: RunsOn, *, counts: Counts, clock: Clock, rejects: Rejects
) -> dict[str, Any]:
    """The audit of a run that has ended; JSON values only. ``provenance_of`` is the rest of it.

    ``counts`` and ``clock`` are the engine's. The summary counts the lines in ``rejects`` among the rows, as failed.
    """
    rejected = rejects.count
    return {
        "input": job.input,
        "output": job.output,
        "rejects": rejects.path if rejected else None,  # of a sweep's tables all have that of the first
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
            **({"model_runs": counts.model_runs} if config.reuse else {}),
            **_signals_of(counts),
        },
        "model": runs_on.model.as_json(),
        "machine": {
            "provider": runs_on.provider,
            "remark": runs_on.remark,
            "threads": runs_on.threads,
            "decode_workers": runs_on.decode_workers,
            "cores": os.cpu_count(),
            "platform": platform.platform(),
        },
        "versions": versions(),
        **_times_of(clock, runs_on.decode_workers),
    }


def provenance_of(
    job: TableJob, config: RunConfig, models: Sequence[Model], rejects: str | None, input_sha256: str = ""
) -> dict[str, Any]:
    """``run_provenance`` of a run; reads input and output once more, for their hashes.

    A remote input is not read again: ``input_sha256`` is that of what was read.
    """
    outputs = ({"output": job.output} if job.output else {}) | ({"rejects": rejects} if rejects else {})
    inputs = {f"input_{place}" if place else "input": path for place, path in enumerate(job.inputs)}
    provenance = run_provenance(inputs, outputs, {**asdict(job), **asdict(config)})
    if input_sha256:
        provenance["inputs"]["input"] |= {"exists": True, "kind": "file", "sha256": input_sha256}
    # The hash is that of the bytes that ran: by now the path may hold others.
    for place, model in enumerate(models):
        name = f"model_{place}" if place else "model"
        provenance["inputs"][name] = {"path": model.source, "exists": True, "kind": "file", "sha256": model.sha256}
    return provenance


def _signals_of(counts: Counts) -> dict[str, dict[str, int]]:
    """How many clips there are of every transfer and bit depth; ``unknown`` where an older memo does not say."""
    transfers = {"sdr": 0, "pq": 0, "hlg": 0}
    depths: dict[str, int] = {}
    for signal, count in counts.signals.items():
        transfer, depth = (signal.transfer, str(signal.depth)) if signal else ("unknown", "unknown")
        transfers[transfer] = transfers.get(transfer, 0) + count
        depths[depth] = depths.get(depth, 0) + count
    order = sorted(depths, key=lambda depth: int(depth) if depth.isdigit() else 99)
    return {"transfer": transfers, "bit_depth": {depth: depths[depth] for depth in order}}


def _times_of(clock: Clock, decode_workers: int) -> dict[str, Any]:
    return {
        "seconds": round(clock.elapsed, 3),
        "stages": _stages_of(clock, decode_workers),
        "slowest_clips": [{"path": path, "seconds": round(seconds, 3)} for seconds, path in clock.slowest],
    }


def _stages_of(clock: Clock, decode_workers: int) -> dict[str, dict[str, float]]:
    """Seconds each stage was busy, and its share of the run's time (decoding: of the time of all its workers)."""
    elapsed = clock.elapsed
    return {
        name: {
            "seconds": round(seconds, 3),
            "share": round(seconds / (elapsed * (decode_workers if name == "decode" else 1)), 4),
        }
        for name, seconds in clock.seconds.items()
    }
