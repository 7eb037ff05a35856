"""SIGINT and SIGTERM at random moments, from the first one on, to the run alone or to its whole process group."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest
from tests.processes import shared_memory
from tests.torture.conftest import Record, times
from tests.torture.runs import Campaign


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_at_random(tmp_path: Path, forty: list[Path], record: Record, number: signal.Signals) -> None:
    campaign, generator, before = Campaign.over(forty, tmp_path), random.Random(int(number)), shared_memory()
    totals: Counter[str] = Counter(signals=0)
    slowest = 0.0
    while totals["signals"] < times(50):
        trial = campaign.trial()
        process = trial.start()
        try:
            process.wait(generator.uniform(0.0, campaign.seconds))
        except subprocess.TimeoutExpired:
            totals["signals"] += 1
        else:
            process.communicate()
            continue  # it ended before its signal
        sent = time.monotonic()
        if generator.random() < 0.5:
            os.killpg(process.pid, number)
        else:
            process.send_signal(number)
        process.communicate(timeout=60)
        slowest = max(slowest, time.monotonic() - sent)
        # Until the handlers are there, some 0.1 s after the start, the signal kills Python itself: a shell sees the
        # same status.
        totals["before_the_handlers"] += process.returncode == -number
        totals["ended_by_itself"] += process.returncode == 0
        totals["other_status"] += process.returncode not in (128 + number, -number, 0)
        totals["processes_left"] += not trial.gone(process.pid)
        totals["temporary_left"] += trial.left_in_tmp()
        totals["partial_left"] += len(list(trial.folder.glob("*.partial")))
        end = trial.finish()
        totals["differing_bytes"] += end["differing"]
        totals["recomputed_clips"] += end["recomputed"]
        totals["finished_clips_kept"] += end["finished"]
    totals["shared_memory_left"] = len(shared_memory() - before)
    record(f"05-{number.name.lower()}", **totals, slowest_seconds=round(slowest, 2))
    assert slowest < 10.0
    for bad in ("other_status", "processes_left", "partial_left", "differing_bytes", "recomputed_clips"):
        assert totals[bad] == 0, totals
