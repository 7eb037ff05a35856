"""Runs over clips in an object store that fails at random, killed at random: the numbers of local clips."""

from __future__ import annotations

import json
import random
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

from tests.object_store import CREDENTIALS, Store, object_store
from tests.processes import finished_clips, saliency_batch, session_members, start, until
from tests.rows import read_rows, write_clips
from tests.torture.conftest import Record, times

from saliency_engine.config import MEMO_NAME

TRIALS, KILLS = 5, 3
LIMIT, PADDING = 1_000_000, 100_000
"""Bytes of the cache, and those behind each clip: it holds a quarter of them."""
_NUMBERS = ("saliency_mean", "saliency_var", "saliency_status")


def test_a_store_that_fails_and_runs_that_are_killed(tmp_path: Path, forty: list[Path], record: Record) -> None:
    local = write_clips(tmp_path / "local.jsonl", forty)
    saliency_batch("run", local, "-o", tmp_path / "local.out.jsonl", "--model", "frequency_tuned_v1")
    expected = numbers_in(tmp_path / "local.out.jsonl")
    totals, generator = Counter[str](), random.Random(17)
    with object_store() as store:
        table = write_clips(
            tmp_path / "in.jsonl", [store.put(path.name, path.read_bytes() + bytes(PADDING)) for path in forty]
        )
        for number in range(times(TRIALS)):
            folder = tmp_path / str(number)
            folder.mkdir()
            totals += _disturb(store, table, folder, generator)
            totals["differing"] += numbers_in(folder / "out.jsonl") != expected
    bad = {name: totals.pop(name, 0) for name in ("differing", "recomputed_clips", "over_the_limit", "failed")}
    record("22-stores", trials=times(TRIALS), clips=len(forty), **totals, **bad)
    assert not any(bad.values()), bad
    assert totals["kills"] > 0.5 * times(TRIALS) * KILLS, totals


def _disturb(store: Store, table: Path, folder: Path, generator: random.Random) -> Counter[str]:
    """Kill a run of a store with faults some times, then let it end without any."""
    names = [row["src"].rpartition("/")[2] for row in read_rows(table)]
    totals, cache = Counter[str](), folder / "saliency-batch" / "clips"
    env = {"AWS_ENDPOINT_URL": store.endpoint, "AWS_DEFAULT_REGION": "us-east-1", "XDG_CACHE_HOME": str(folder)}
    env |= {"AWS_EC2_METADATA_DISABLED": "true", **CREDENTIALS}
    command: list[Any] = [table, "-o", folder / "out.jsonl", "--audit-json", folder / "audit.json", "--allow-remote"]
    command += ["--model", "frequency_tuned_v1", "--remote-cache-gb", LIMIT / 1e9, "--decode-workers", 3]
    for _ in range(KILLS):
        drawn = {name: generator.choices(["", "503", "cut"], [8, 1, 1], k=9) for name in names}
        store.faults = {name: list(faults) for name, faults in drawn.items()}
        store.asked.clear()
        process = start(*command, env=env)
        until(lambda process=process: process.poll() is not None or bool(store.asked), "nothing was asked for")  # type: ignore[misc]
        try:
            process.communicate(timeout=generator.uniform(0.0, 5.0))
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            totals["kills"] += 1
        until(lambda leader=process.pid: not session_members(leader), "left")  # type: ignore[misc]
        used = [fault for name, faults in drawn.items() for fault in faults[: 9 - len(store.faults[name])]]
        totals["faults"] += len(used) - used.count("")
        totals["over_the_limit"] += sum(path.stat().st_size for path in cache.glob("*")) > LIMIT
        totals["partial_files_left"] += len(list(cache.glob("*.partial")))
    store.faults.clear()
    before = len(finished_clips(folder / MEMO_NAME))
    process = start(*command, env=env)
    process.communicate()
    totals["failed"] += process.returncode != 0
    totals["finished_clips_kept"] += before
    computed = json.loads((folder / "audit.json").read_text())["clips"]["computed"]
    totals["recomputed_clips"] += computed + before - len(finished_clips(folder / MEMO_NAME))
    return totals


def numbers_in(path: Path) -> list[list[Any]]:
    return [[row.get(name) for name in _NUMBERS] for row in read_rows(path)]
