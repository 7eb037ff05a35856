"""Progress as people see it: on terminals of any width, in logs, for programs, after a resume, after Ctrl-C."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.processes import HANG, TO_BE_INTERRUPTED, run
from tests.rows import write_clips

from saliency_engine.pipeline.counts import Counts
from saliency_engine.report.progress import Pace, ProgressDisplay, describe_state

FULL: dict[str, Any] = {
    "seconds": 100.0,
    "rows": 1_234_567,
    "rows_total": 10_000_000,
    "failed": 12_345,
    "clips_computed": 1,
}
FULL |= {"clips_reused": 345_678, "clips_per_second": 123.4, "seconds_left": 360_000}


def test_words_fit_beside_the_bar() -> None:
    assert describe_state(FULL) == (
        "1,234,567 of 10,000,000 rows, 123.4 clips/s, 345,678 reused, 12,345 failed, 100:00:00 left"
    )
    assert describe_state(FULL, narrow=True) == "1,234,567/10,000,000, 12,345 failed, 100:00:00 left"
    early = {**FULL, "rows": 0, "rows_total": None, "failed": 0, "clips_reused": 0, "seconds_left": None}
    assert describe_state(early) == "0 of ? rows, 123.4 clips/s"


def test_the_time_left_after_a_resume_follows_from_the_clips_that_are_computed() -> None:
    pace, counts = Pace(), Counts()
    pace.add(0.0, counts)
    counts.rows = 7000  # they had their numbers
    pace.add(1.0, counts)
    for second in range(2, 12):  # one clip of ten rows a second
        counts.rows += 10
        counts.clips_computed += 1
        pace.add(float(second), counts)
    assert pace.seconds_for(3000) == pytest.approx(300, rel=0.01)


def test_the_pace_follows_the_last_minute() -> None:
    pace, counts = Pace(), Counts(clips_computed=1)
    for second in range(200):
        counts.rows += 10 if second < 100 else 1
        pace.add(float(second), counts)
    assert pace.seconds_for(60) == pytest.approx(60, rel=0.05)


def on_terminal(columns: int, *arguments: str | Path, interrupt: bool = False) -> str:
    """What a run writes on a terminal of so many columns; ``interrupt``: it gets Ctrl-C once the bar moves."""
    reader, writer = pty.openpty()
    env = {**os.environ, "COLUMNS": str(columns), "LINES": "24", "TERM": "xterm"}
    command = [*TO_BE_INTERRUPTED, "run", *map(str, arguments)]
    process = subprocess.Popen(command, stderr=writer, stdout=subprocess.DEVNULL, env=env, start_new_session=True)
    os.close(writer)
    text = b""
    while True:
        try:
            text += os.read(reader, 65536)
        except OSError:  # the terminal is gone
            break
        if interrupt and re.search(rb"[1-9]\d*(/| of )30", text):
            os.kill(process.pid, signal.SIGINT)
            interrupt = False
    process.wait(HANG)
    os.close(reader)
    return text.decode()


def lines_of(text: str) -> list[str]:
    return [re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line) for line in re.split(r"[\r\n]+", text)]


@pytest.mark.parametrize("columns", [60, 120])
def test_the_bar_fits_the_terminal(columns: int, tmp_path: Path, forty: list[Path]) -> None:
    lines = lines_of(
        on_terminal(
            columns, *forty[:30], "-o", tmp_path / "out.jsonl", "--model", "frequency_tuned_v1", "--memo", "off"
        )
    )
    bars = [line for line in lines if re.search(r"\d(/| of )30", line)]
    assert bars
    assert max(map(len, bars)) <= columns
    words = " of 30 rows, " if columns == 120 else "/30"
    assert any(words in line for line in bars)
    assert lines[-2].startswith("saliency-batch: total=30 ok=30") or lines[-1].startswith("saliency-batch: total=30")


def test_an_interrupted_bar_is_not_full(tmp_path: Path, forty: list[Path]) -> None:
    source = write_clips(tmp_path / "in.jsonl", forty[:30])
    common = (source, "-o", tmp_path / "out.jsonl", "--model", "frequency_tuned_v1", "--decode-workers", "1")
    lines = lines_of(on_terminal(120, *common, interrupt=True))
    assert not any("30 of 30" in line for line in lines)
    bar = [line for line in lines if " of 30 rows" in line][-1]
    assert bar.count("━") < 24 or "╸" in bar or "╺" in bar


def test_what_is_not_on_a_terminal_has_no_bar(tmp_path: Path, clips: dict[str, Path]) -> None:
    source = write_clips(tmp_path / "in.jsonl", [clips["bikes"]] * 3)
    common = (source, "-o", tmp_path / "out.jsonl", "--model", "frequency_tuned_v1", "--memo", "off")
    assert run(*common, "--progress", "off", text=True).stderr.startswith("model ")
    assert run(*common, "--quiet", text=True).stderr == ""


@pytest.mark.parametrize("kind", ["json", "lines"])
def test_progress_for_programs_and_logs(kind: str, capfd: pytest.CaptureFixture[str]) -> None:
    """The display itself, because a run's first line comes after half a minute."""
    counts = Counts()
    table: Any = SimpleNamespace(rows_total=8, fraction=None)
    with ProgressDisplay([], [counts], kind) as display:
        for rows in (2, 4):
            counts.rows, counts.clips_computed = rows, rows
            display._shown -= 31  # half a minute goes by
            display.update(table, 0)
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == 2
    if kind == "json":
        state = json.loads(lines[1])
        assert (state["rows"], state["rows_total"], state["clips_computed"], state["failed"]) == (4, 8, 4, 0)
        assert state["seconds_left"] >= 0
        datetime.fromisoformat(state["time"])
    else:
        clock, _, words = lines[1].partition(" ")
        assert datetime.fromisoformat(clock).tzinfo
        assert words.startswith("4 of 8 rows, ")
        assert words.endswith(" left")
