"""Disks that are full or fail, at every call: the run says so, and nothing that was there before is lost."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.conftest import PROJECT
from tests.processes import HANG, MAIN, finished_clips, start, without_progress
from tests.rows import write_clips


def test_every_failing_call_is_told_and_leaves_what_was_there(tmp_path: Path, faults: Path) -> None:
    path = os.pathsep.join([str(PROJECT), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-m", "tests.full_disk", tmp_path],
        env={**os.environ, "LD_PRELOAD": str(faults), "PYTHONPATH": path},
        capture_output=True,
        check=False,
        timeout=HANG,
        cwd=PROJECT,
    )
    assert done.returncode == 0, done.stderr.decode()
    counts = json.loads(done.stdout)
    for name in ("jsonl", "jsonl.gz", "jsonl.zst", "parquet", "arrow", "audit"):
        assert all(counts[name][call] for call in ("write", "fsync", "rename", "truncate")), counts
    assert counts["memo"]["write"] > 10
    assert counts["memo"]["told"] > 10


def test_a_disk_that_fills_up_under_the_memo_stops_the_run_and_keeps_the_clips(
    tmp_path: Path, faults: Path, forty: list[Path]
) -> None:
    write_clips(tmp_path / "in.jsonl", forty)
    memo = tmp_path / "memo.sqlite"
    options: list[str | Path] = ["--input", tmp_path / "in.jsonl", "--output", tmp_path / "out.jsonl", "--memo", memo]
    options += ["--model", "frequency_tuned_v1", "--audit-json", tmp_path / "audit.json"]
    full = {"LD_PRELOAD": str(faults), "FAULT_PATH": "/memo.sqlite", "FAULT_CALLS": "write", "FAULT_AT": "40"}
    run = start(*options, env={**full, "FAULT_ERRNO": str(errno.ENOSPC)})
    _, stderr = run.communicate(timeout=HANG)
    assert run.returncode == 2
    assert without_progress(stderr) == [
        "frequency_tuned_v1 on CPUExecutionProvider",
        f"MemoError: {memo}: database or disk is full (SQLITE_FULL); make room there and in the folder for temporary "
        "files, then run the same command again: finished clips are kept",
    ]
    assert {path.name for path in tmp_path.iterdir() if not path.name.startswith("memo.sqlite")} == {"in.jsonl"}
    finished = len(finished_clips(memo))
    assert 0 < finished < 40
    again = start(*options)
    again.communicate(timeout=HANG)
    clips = json.loads((tmp_path / "audit.json").read_text())["clips"]
    assert (clips["reused"], clips["computed"]) == (finished, 40 - finished)


@pytest.mark.parametrize("command", ["run", "show"])
def test_a_full_stdout_is_one_line_and_exit_status_2(tmp_path: Path, command: str) -> None:
    rows = tmp_path / "in.jsonl"
    rows.write_text('{"src": "a", "saliency_mean": 0.5, "saliency_var": 0.5}\n')
    options: dict[str, list[str | Path]] = {
        "run": ["--input", rows, "--output", "-", "--model", "frequency_tuned_v1", "--quiet"],
        "show": [rows],
    }
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [*MAIN, command, *options[command]], stdout=full, stderr=subprocess.PIPE, check=False, timeout=HANG
        )
    (line,) = done.stderr.decode().splitlines()
    assert "No space left on device" in line
    assert done.returncode == 2


@pytest.mark.parametrize("closed", [(1,), (2,), (0, 1, 2)])
def test_a_table_does_not_take_the_place_of_a_closed_stream(tmp_path: Path, closed: tuple[int, ...]) -> None:
    rows = tmp_path / "in.jsonl"
    rows.write_text('{"src": "gone.mp4"}\n')

    def close() -> None:
        for number in closed:
            os.close(number)

    done = subprocess.run(
        [*MAIN, "run", "--input", rows, "--output", tmp_path / "out.jsonl", "--model", "frequency_tuned_v1"],
        preexec_fn=close,
        check=False,
        timeout=HANG,
        capture_output=True,
    )
    assert done.returncode == 1
    (line,) = (tmp_path / "out.jsonl").read_text().splitlines()
    assert json.loads(line)["saliency_status"] == "missing-source"


@pytest.mark.parametrize(("input", "output", "name"), [("-", "out.jsonl", "stdin"), ("in.jsonl", "-", "stdout")])
def test_a_closed_stream_that_is_needed_is_told(tmp_path: Path, input: str, output: str, name: str) -> None:
    (tmp_path / "in.jsonl").write_text('{"src": "gone.mp4"}\n')
    done = subprocess.run(
        [*MAIN, "run", "--input", input, "--output", output, "--model", "frequency_tuned_v1"],
        preexec_fn=lambda: os.closerange(0, 2),
        check=False,
        timeout=HANG,
        stderr=subprocess.PIPE,
        cwd=tmp_path,
    )
    assert done.returncode == 2
    assert name in done.stderr.decode()
    assert "is closed" in done.stderr.decode()
