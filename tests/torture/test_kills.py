"""SIGKILL of the whole run, at random and at every call that brings something to the disk."""

from __future__ import annotations

import random
import subprocess
from collections import Counter
from pathlib import Path

from tests.processes import shared_memory
from tests.torture.conftest import Record, times
from tests.torture.runs import Campaign, Trial


def _count_end(trial: Trial, totals: Counter[str]) -> None:
    end = trial.finish()
    totals["trials"] += 1
    totals["differing_bytes"] += end["differing"]
    totals["recomputed_clips"] += end["recomputed"]
    totals["finished_clips_kept"] += end["finished"]
    totals["files_left_after_the_next_run"] += end["left"]


def test_kills_at_random(tmp_path: Path, forty: list[Path], record: Record) -> None:
    campaign, generator, before = Campaign.over(forty, tmp_path), random.Random(1), shared_memory()
    totals: Counter[str] = Counter(kills=0)
    while totals["kills"] < times(150):
        trial = campaign.trial()
        for _ in range(generator.randint(1, 4)):
            process = trial.start()
            try:
                process.wait(generator.uniform(0.0, 1.1 * campaign.seconds))
            except subprocess.TimeoutExpired:
                process.kill()
                totals["kills"] += 1
            process.communicate()
            totals["processes_left"] += not trial.gone(process.pid)
            totals["temporary_left"] += trial.left_in_tmp()
        _count_end(trial, totals)
    totals["shared_memory_left"] = len(shared_memory() - before)
    record("01-kills-at-random", **totals)
    for bad in ("differing_bytes", "recomputed_clips", "processes_left", "shared_memory_left"):
        assert totals[bad] == 0, totals
    assert totals["files_left_after_the_next_run"] == 0, totals


def test_kills_at_commit_points(tmp_path: Path, forty: list[Path], faults: Path, record: Record) -> None:
    campaign, generator, before = Campaign.over(forty, tmp_path), random.Random(2), shared_memory()
    # The folder is in the path of output, rejects, audit, memo and log, and is a path of its own.
    chosen = {"LD_PRELOAD": str(faults), "FAULT_CALLS": "write fsync rename truncate"}
    counted = campaign.trial()
    count = counted.folder.parent / "count"
    assert counted.run(**chosen, FAULT_PATH=str(counted.folder), FAULT_COUNT=str(count)) == 0
    calls = count.stat().st_size
    totals: Counter[str] = Counter(kills=0, calls_in_a_run=calls)
    # Before and after every call at the start and at the end, where files are made and renamed, and some between.
    ends = [*range(1, 16), *range(calls - 15, calls + 1)]
    points = [(k, after) for k in ends for after in (False, True)]
    while len(points) < 150:
        points.append((generator.randint(16, calls - 16), generator.random() < 0.5))
    for k, after in generator.sample(points, times(len(points))):
        trial = campaign.trial()
        fault = {
            **chosen,
            "FAULT_PATH": str(trial.folder),
            "FAULT_AT": str(k),
            **({"FAULT_AFTER": "1"} if after else {}),
        }
        process = trial.start(**fault)
        process.communicate(timeout=300)
        totals["kills"] += process.returncode == -9
        totals["processes_left"] += not trial.gone(process.pid)
        totals["temporary_left"] += trial.left_in_tmp()
        _count_end(trial, totals)
    totals["shared_memory_left"] = len(shared_memory() - before)
    record("01-kills-at-commit-points", **totals)
    # A kill at the first call leaves what that call writes: the file with which Python tries a temporary folder.
    for bad in ("differing_bytes", "recomputed_clips", "processes_left", "shared_memory_left"):
        assert totals[bad] == 0, totals
    assert totals["temporary_left"] <= 2, totals
    assert totals["files_left_after_the_next_run"] == 0, totals
    assert totals["kills"] > 0.9 * times(len(points)), totals
