"""Rows come out in the order they went in, with the same values, whatever the decoders and other runs are doing."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from tests.disturb import Rows, compute, disturbed
from tests.processes import HANG, start
from tests.rows import write_clips


@pytest.fixture(scope="module")
def expected(forty: list[Path]) -> Rows:
    return compute(forty)


@pytest.mark.parametrize("seed", range(2))
def test_rows_keep_their_order_when_workers_are_held_up(forty: list[Path], expected: Rows, seed: int) -> None:
    assert disturbed(seed, forty) == expected


def test_two_runs_share_a_memo_at_the_same_time(tmp_path: Path, forty: list[Path]) -> None:
    halves = (forty[:30], forty[10:])
    runs = []
    for number, paths in enumerate(halves):
        write_clips(tmp_path / f"in{number}.jsonl", paths)
        options: list[Any] = ["--input", tmp_path / f"in{number}.jsonl", "--output", tmp_path / f"out{number}.jsonl"]
        runs.append(start(*options, "--memo", tmp_path / "memo.sqlite", "--model", "frequency_tuned_v1"))
    for run in runs:
        _, stderr = run.communicate(timeout=HANG)
        assert run.returncode == 0, stderr.decode()
    rows = [
        json.loads(line) for number in range(2) for line in (tmp_path / f"out{number}.jsonl").read_text().splitlines()
    ]
    assert [row["src"] for row in rows] == [str(path) for half in halves for path in half]
    numbers = {row["src"]: (row["saliency_mean"], row["saliency_var"]) for row in rows}
    assert all((row["saliency_mean"], row["saliency_var"]) == numbers[row["src"]] for row in rows)
    db = sqlite3.connect(tmp_path / "memo.sqlite")
    assert db.execute("SELECT count(*) FROM clips").fetchone() == (40,)
    assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    db.close()
