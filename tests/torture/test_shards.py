"""Sixteen shards in sixteen processes and the merge of their memos, killed at random: the table of one run."""

from __future__ import annotations

import json
import random
import subprocess
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.memos import request, statistics_of
from tests.processes import MAIN, finished_clips, saliency_batch, session_members, start, until
from tests.torture.conftest import Record, times
from tests.torture.runs import Campaign

from saliency_engine.pipeline.memo import Memo

SHARDS, AT_ONCE, KILLS = 16, 4, 3


def _compute(campaign: Campaign, shard: int) -> Counter[str]:
    """Kill a shard up to ``KILLS`` times, while it computes, then let it end."""
    folder, generator, totals = campaign.work / str(shard), random.Random(shard), Counter[str]()
    folder.mkdir()
    options: list[str | Path] = [
        "--shard",
        f"{shard}/{SHARDS}",
        "--memo",
        folder / "memo",
        "--audit-json",
        folder / "audit.json",
    ]
    command: list[str | Path] = [
        campaign.table,
        *options,
        "--model",
        "frequency_tuned_v1",
        "--decode-workers",
        "1",
        "--quiet",
    ]
    for _ in range(times(KILLS)):
        process, before = start(*command), len(finished_clips(folder / "memo"))
        # Half of the kills come when a clip has just been finished.
        if generator.random() < 0.5:
            until(lambda: process.poll() is not None or len(finished_clips(folder / "memo")) > before, "no clip")  # noqa: B023
        totals["kills"] += _kill_soon(process, generator.uniform(0.0, 0.3))
        until(lambda leader=process.pid: not session_members(leader), "left")  # type: ignore[misc]
    before = len(finished_clips(folder / "memo"))
    process = start(*command)
    process.communicate()
    totals["shards_failed"] += process.returncode != 0
    clips = json.loads((folder / "audit.json").read_text())["clips"]
    totals["finished_clips_kept"] += before
    totals["recomputed_clips"] += clips["computed"] + before - len(finished_clips(folder / "memo"))
    return totals


def _kill_soon(process: subprocess.Popen[bytes], seconds: float) -> bool:
    """Kill ``process`` if it has not ended in so many seconds, and wait for it; whether it was killed."""
    try:
        process.communicate(timeout=seconds)
        return False
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return True


def test_shards_that_are_killed(tmp_path: Path, forty: list[Path], record: Record) -> None:
    campaign = Campaign.over(forty, tmp_path)
    with ThreadPoolExecutor(AT_ONCE) as machines:
        totals = sum(machines.map(lambda shard: _compute(campaign, shard), range(1, SHARDS + 1)), Counter[str]())
    memos = [tmp_path / str(shard) / "memo" for shard in range(1, SHARDS + 1)]
    together = tmp_path / "all.sqlite"
    saliency_batch("memo", "merge", together, *memos)
    audit, output = tmp_path / "audit.json", tmp_path / "out.jsonl"
    options: list[str | Path] = ["--memo", together, "--audit-json", audit, "--model", "frequency_tuned_v1"]
    saliency_batch("run", campaign.table, "-o", output, *options)
    totals["recomputed_clips"] += json.loads(audit.read_text())["clips"]["computed"]
    totals["differs"] = int(output.read_bytes() != campaign.expected)
    record("21-shards", shards=SHARDS, clips=len(forty), **totals)
    for bad in ("differs", "recomputed_clips", "shards_failed"):
        assert totals[bad] == 0, totals
    assert totals["kills"] > 0.5 * times(KILLS) * SHARDS, totals


def test_merges_that_are_killed(tmp_path: Path, record: Record) -> None:
    memos, totals, generator = [tmp_path / f"memo-{number}" for number in range(8)], Counter[str](), random.Random(22)
    for place, path in enumerate(memos):
        memo = Memo(path, {})
        for number in range(place * 2500, (place + 1) * 2500):
            memo.put(memo.key(request(number)), request(number), statistics_of(number % 64))
        memo.close()
    together = tmp_path / "all.sqlite"
    for _ in range(times(30)):
        merge = subprocess.Popen([*MAIN, "memo", "merge", str(together), *map(str, memos)], stdout=subprocess.PIPE)
        until(lambda: together.exists() or merge.poll() is not None, "no memo")  # noqa: B023
        totals["kills"] += _kill_soon(merge, generator.uniform(0.0, 3.0))
        merged = len(finished_clips(together))
        totals["wholly_merged"] += merged == 20_000
        totals["half_merged"] += merged not in {0, 20_000}
        for path in tmp_path.glob("all.sqlite*"):
            path.unlink()
    record("21-merges", entries=20_000, **totals)
    assert totals["half_merged"] == 0, totals
    assert totals["kills"] > 0.3 * times(30) - 1, totals
