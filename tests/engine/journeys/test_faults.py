"""Kill and collide: the next run ends as if nothing had happened."""

from __future__ import annotations

import fcntl
import json
import random
import subprocess
import time
from pathlib import Path

import pytest
from tests.processes import HANG, finished_clips, session_members, shared_memory, start, until
from tests.rows import write_clips

from saliency_engine.config import MEMO_NAME


@pytest.fixture
def table(tmp_path: Path, forty: list[Path]) -> Path:
    rows = "".join(json.dumps({"src": str(path), "n": number}) + "\n" for number, path in enumerate(forty))
    (tmp_path / "in.jsonl").write_text(rows)
    return tmp_path / "in.jsonl"


def test_three_kills_lose_nothing_and_repeat_nothing(tmp_path: Path, table: Path) -> None:
    def arguments(folder: Path) -> list[str | Path]:
        folder.mkdir(exist_ok=True)
        options = ("--model", "frequency_tuned_v1", "--audit-json", folder / "audit.json")
        return ["--input", table, "--output", folder / "out.jsonl", *options]

    started = time.monotonic()
    undisturbed = start(*arguments(tmp_path / "undisturbed"))
    assert undisturbed.wait(HANG) == 0
    undisturbed.communicate()
    seconds = time.monotonic() - started
    expected = (tmp_path / "undisturbed" / "out.jsonl").read_bytes()
    generator, shared = random.Random(7), shared_memory()
    folder = tmp_path / "killed"
    finished: set[bytes] = set()
    for _ in range(3):
        process = start(*arguments(folder))
        try:
            process.wait(generator.uniform(0.2, seconds))
        except subprocess.TimeoutExpired:
            process.kill()
        process.communicate()
        until(lambda leader=process.pid: not session_members(leader), "processes outlived the killed run")  # type: ignore[misc]
        if (folder / "out.jsonl").exists():  # ended, or killed between its last rename and its end
            assert (folder / "out.jsonl").read_bytes() == expected
            break
        now = finished_clips(folder / MEMO_NAME)
        assert finished <= now
        finished = now
    (folder / "audit.json").unlink(missing_ok=True)
    finished = finished_clips(folder / MEMO_NAME)
    process = start(*arguments(folder))
    assert process.wait(HANG) == 0
    process.communicate()
    clips = json.loads((folder / "audit.json").read_text())["clips"]
    assert (clips["computed"], clips["reused"]) == (40 - len(finished), len(finished))
    assert (folder / "out.jsonl").read_bytes() == expected
    assert not (folder / "out.jsonl.partial").exists()
    assert shared_memory() <= shared


def test_a_second_run_on_one_output_is_refused(tmp_path: Path, clips: dict[str, Path]) -> None:
    table = write_clips(tmp_path / "in.jsonl", [clips["carphone_pristine"]])
    partial = tmp_path / "out.jsonl.partial"
    options = ("--input", table, "--output", tmp_path / "out.jsonl", "--model", "frequency_tuned_v1")
    with partial.open("wb") as held:  # what a run in progress holds
        fcntl.flock(held, fcntl.LOCK_EX)
        second = start(*options)
        _, stderr = second.communicate(timeout=HANG)
        assert second.returncode == 2
        assert b"OutputError" in stderr
        assert b"out.jsonl" in stderr
        assert partial.exists()
    third = start(*options)
    third.communicate(timeout=HANG)
    assert third.returncode == 0
