"""Memos cut at every 64th byte, and memos with flipped bits."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

from tests.memos import ENTRIES, flipped, memo_of_a_killed_run, survey, whole_memo
from tests.torture.conftest import Record, times


def test_damaged_memos(tmp_path: Path, record: Record) -> None:
    for name in ("closed", "killed", "work"):
        (tmp_path / name).mkdir()
    closed, killed = whole_memo(tmp_path / "closed"), memo_of_a_killed_run(tmp_path / "killed")
    generator, totals = random.Random(6), Counter[str]()
    cut = [
        *({"memo": closed["memo"][:length]} for length in range(0, len(closed["memo"]), 64)),
        *({**killed, "memo-wal": killed["memo-wal"][:length]} for length in range(0, len(killed["memo-wal"]), 512)),
        *({**killed, "memo-shm": killed["memo-shm"][:length]} for length in range(0, len(killed["memo-shm"]), 512)),
    ]
    damaged = [("cut", files) for files in generator.sample(cut, times(len(cut)))]
    for files, name in ((closed, "memo"), (killed, "memo-wal"), (killed, "memo-shm")):
        damaged += [("flipped", flipped(files, name, generator)) for _ in range(times(2000))]
    for kind, files in damaged:
        entries, refusal = survey(tmp_path / "work", files)  # fails at any wrong number
        totals[kind] += 1
        totals["refused"] += bool(refusal)
        totals["entries_found"] += entries
        totals["entries_computed_again"] += 0 if refusal else ENTRIES - entries
    record("11-damaged-memos", **totals, wrong_rows=0)
