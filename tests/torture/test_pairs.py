"""Two runs at once: with one output, and with one memo."""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from pathlib import Path
from typing import Any

from tests.processes import start
from tests.torture.conftest import Record, times
from tests.torture.runs import Campaign


def test_two_runs_with_one_output(tmp_path: Path, forty: list[Path], record: Record) -> None:
    campaign, generator, totals = Campaign.over(forty, tmp_path), random.Random(7), Counter[str]()
    for _ in range(times(50)):
        trial = campaign.trial()
        first = trial.start()
        time.sleep(generator.uniform(0.0, 0.5 * campaign.seconds))
        second = trial.start()
        messages = [run.communicate(timeout=300)[1].decode() for run in (first, second)]
        statuses = sorted((first.returncode, second.returncode))
        totals["pairs"] += 1
        totals["one_refused"] += (
            statuses == [0, 2] and sum("another run is writing it" in text for text in messages) == 1
        )
        totals["one_after_the_other"] += statuses == [0, 0]  # the second began when the first had ended
        totals["differing"] += trial.output.read_bytes() != campaign.expected
        totals["left"] += len(list(trial.folder.glob("*.partial")))
    record("12-one-output", **totals)
    assert totals["differing"] == totals["left"] == 0, totals
    assert totals["one_refused"] + totals["one_after_the_other"] == totals["pairs"], totals


def test_two_runs_with_one_memo(tmp_path: Path, forty: list[Path], record: Record) -> None:
    campaign, generator, totals = Campaign.over(forty, tmp_path), random.Random(8), Counter[str]()
    for _ in range(times(50)):
        trial = campaign.trial()
        runs = []
        for number in range(2):
            options: list[Any] = ["--input", campaign.table, "--output", trial.folder / f"{number}.jsonl"]
            options += ["--memo", trial.memo, "--audit-json", trial.folder / f"{number}.json"]
            runs.append(start(*options, "--model", "frequency_tuned_v1"))
            time.sleep(generator.choice((0.0, 0.0, generator.uniform(0.0, campaign.seconds))))
        for number, run in enumerate(runs):
            run.communicate(timeout=300)
            totals["failed"] += run.returncode != 0
            totals["differing"] += (trial.folder / f"{number}.jsonl").read_bytes() != campaign.expected
            totals["reused"] += json.loads((trial.folder / f"{number}.json").read_text())["clips"]["reused"]
        totals["pairs"] += 1
    record("12-one-memo", **totals)
    assert totals["failed"] == totals["differing"] == 0, totals
