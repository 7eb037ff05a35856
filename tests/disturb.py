"""Runs whose decoding workers are stopped and continued at random."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from saliency_engine.config import RunConfig
from saliency_engine.pipeline.engine import Engine

Rows = list[tuple[str, str, float, float]]


def compute(paths: Sequence[Path], **options: Any) -> Rows:
    """(src, status, mean, variance) of every row of a run: uneven batches, and each clip in two rows."""
    with Engine(RunConfig(model="frequency_tuned_v1", **options)) as engine:
        return _rows(engine, paths)


def disturbed(seed: int, paths: Sequence[Path]) -> Rows:
    """The same with 1 to 16 workers, stopped for up to 60 ms at a time, and 1 to 32 frames per call."""
    generator = random.Random(seed)
    config = RunConfig(
        model="frequency_tuned_v1",
        decode_workers=generator.choice((1, 2, 3, 4, 6, 8, 12, 16)),
        batch_size=generator.choice((1, 2, 3, 5, 8, 13, 32)),
        threads=generator.choice((1, 2)),
    )
    with Engine(config) as engine:
        ended = threading.Event()
        disturber = threading.Thread(target=_hold_up, args=(engine, generator, ended))
        disturber.start()
        try:
            return _rows(engine, paths)
        finally:
            ended.set()
            disturber.join()


def _rows(engine: Engine, paths: Sequence[Path]) -> Rows:
    sources = [str(path) for path in [*paths, *reversed(paths)]]
    batches = [pa.record_batch({"src": sources[at : at + 7]}) for at in range(0, len(sources), 7)]
    names = ("src", "saliency_status", "saliency_mean", "saliency_var")
    return [tuple(row[name] for name in names) for batch in engine.process(batches) for row in batch.to_pylist()]


def _hold_up(engine: Engine, generator: random.Random, ended: threading.Event) -> None:
    while not ended.is_set():
        pids = [worker.process.pid for worker in engine._runner.pool._workers]
        chosen = [pid for pid in pids if pid is not None and generator.random() < 0.5]
        for pid in chosen:
            os.kill(pid, signal.SIGSTOP)
        time.sleep(generator.uniform(0.0, 0.06))
        for pid in chosen:
            os.kill(pid, signal.SIGCONT)
        time.sleep(generator.uniform(0.0, 0.02))
