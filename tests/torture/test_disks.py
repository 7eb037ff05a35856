"""Full and failing disks, at every call of every kind of file, and at calls of whole runs."""

from __future__ import annotations

import errno
import json
import os
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

from tests.conftest import PROJECT
from tests.torture.conftest import Record, times
from tests.torture.runs import Campaign

CALLS = ("write", "fsync", "rename", "truncate")
BEFORE = "{}\n"
"""What an earlier run may have left where the output goes."""


def test_every_call_of_every_format(tmp_path: Path, faults: Path, record: Record) -> None:
    path = os.pathsep.join([str(PROJECT), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-m", "tests.full_disk", tmp_path, "--all"],
        env={**os.environ, "LD_PRELOAD": str(faults), "PYTHONPATH": path},
        capture_output=True,
        check=False,
        cwd=PROJECT,
    )
    assert done.returncode == 0, done.stderr.decode()
    counts = json.loads(done.stdout)
    faults_of = [count for each in counts.values() for call, count in each.items() if call in CALLS]
    record("04-every-call", **counts, faults=sum(faults_of))


def test_calls_of_whole_runs(tmp_path: Path, forty: list[Path], faults: Path, record: Record) -> None:
    campaign, generator = Campaign.over(forty, tmp_path), random.Random(5)
    chosen = {"LD_PRELOAD": str(faults), "FAULT_CALLS": " ".join(CALLS)}
    counted = campaign.trial()
    count = counted.folder.parent / "count"
    assert counted.run(**chosen, FAULT_PATH=str(counted.folder), FAULT_COUNT=str(count)) == 0
    calls = count.stat().st_size
    totals: Counter[str] = Counter(calls_in_a_run=calls)
    points = sorted(
        {*range(1, 12), *range(calls - 12, calls + 1), *generator.sample(range(1, calls), min(60, calls - 1))}
    )
    for k in generator.sample(points, times(len(points))):
        for error in (errno.ENOSPC, errno.EIO):
            trial = campaign.trial()
            trial.output.write_text(BEFORE)
            fault = {**chosen, "FAULT_PATH": str(trial.folder), "FAULT_AT": str(k), "FAULT_ERRNO": str(error)}
            process = trial.start(**fault)
            _, messages = process.communicate(timeout=300)
            lines = messages.decode().splitlines()
            totals["faults"] += 1
            if process.returncode == 0:  # the memo's log was being folded into its file: nothing is lost
                totals["costs_nothing"] += 1
            else:
                told_once = str(trial.folder) in lines[-1] and lines[:-1] in (
                    [],
                    ["frequency_tuned_v1 on CPUExecutionProvider"],
                )
                totals["not_told"] += process.returncode != 2 or not told_once
                audit_or_folder = "audit.json" in lines[-1] or "cannot be flushed" in lines[-1]
                totals["after_the_rename"] += audit_or_folder
                totals["target_touched"] += not audit_or_folder and trial.output.read_text() != BEFORE
            totals["partial_left"] += len(list(trial.folder.glob("*.partial")))
            trial.output.unlink()
            end = trial.finish()
            totals["differing_bytes"] += end["differing"]
            totals["recomputed_clips"] += end["recomputed"]
    record("04-whole-runs", **totals)
    for bad in ("not_told", "target_touched", "partial_left", "differing_bytes", "recomputed_clips"):
        assert totals[bad] == 0, totals
