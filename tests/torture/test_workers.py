"""Decoding workers that die in the middle of a clip, once or twice at the same one."""

from __future__ import annotations

import os
import random
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
from tests.torture.conftest import Record, times

from saliency_engine.config import RunConfig
from saliency_engine.pipeline.engine import Engine
from saliency_engine.pipeline.pool import DecodePool
from saliency_engine.types import ClipRequest

DEATHS = (signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE)


def _rows(engine: Engine, paths: list[Path]) -> dict[str, dict[str, Any]]:
    batch = pa.record_batch({"src": list(map(str, paths))})
    return {row["src"]: row for done in engine.process([batch]) for row in done.to_pylist()}


def _kill_workers(pool: DecodePool, doomed: dict[str, int], generator: random.Random) -> int:
    """Let the first ``doomed[path]`` workers that are given a clip die at it; returns how many will die."""
    left, give = dict(doomed), pool._give

    def killing(index: int, job: tuple[ClipRequest, int], deaths: tuple[str, ...] = ()) -> None:
        pid = pool._workers[index].process.pid
        if not left[job[0].path] or pid is None:
            give(index, job, deaths)
            return
        left[job[0].path] -= 1
        os.kill(pid, signal.SIGSTOP)  # so that it has the clip and has not finished it
        give(index, job, deaths)
        os.kill(pid, generator.choice(DEATHS))
        os.kill(pid, signal.SIGCONT)

    pool._give = killing  # type: ignore[method-assign]
    return sum(doomed.values())


def test_workers_that_die(forty: list[Path], record: Record) -> None:
    generator, totals, workers = random.Random(4), Counter[str](), 3
    config = RunConfig(model="frequency_tuned_v1", decode_workers=workers, memo="off")
    with Engine(config) as engine:
        expected = _rows(engine, forty)
    while totals["deaths"] < times(300):
        with Engine(config) as engine:
            doomed = {str(path.resolve()): generator.choice((0, 0, 0, 0, 1, 2)) for path in forty}
            totals["deaths"] += _kill_workers(engine._runner.pool, doomed, generator)
            rows = _rows(engine, forty)
            totals["workers_missing"] += workers - sum(
                worker.process.is_alive() for worker in engine._runner.pool._workers
            )
        totals["runs"] += 1
        totals["clips_hit_twice"] += sum(count == 2 for count in doomed.values())
        for path in forty:
            row, hits = rows[str(path)], doomed[str(path.resolve())]
            failed = row["saliency_status"] == "decode-failed"
            totals["rows_failed"] += failed
            totals["rows_wrong"] += failed != (hits == 2) or (not failed and row != expected[str(path)])
            totals["reasons_without_signal"] += failed and "SIG" not in str(row["saliency_error"])
    record("02-worker-deaths", **totals)
    assert totals["rows_wrong"] == totals["workers_missing"] == totals["reasons_without_signal"] == 0, totals
    assert totals["rows_failed"] == totals["clips_hit_twice"], totals
