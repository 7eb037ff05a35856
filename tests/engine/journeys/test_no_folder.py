"""Commands whose current folder has been deleted: whole paths are enough, and a relative one is named."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tests.processes import HANG
from tests.rows import read_rows, write_clips

# As users start it. Under `python -c` Python 3.13.0 itself fails in a folder that is gone, where it looks for modules.
COMMAND = Path(sys.executable).with_name("saliency-batch")
GONE = "which has been deleted: change to a folder that is there, or give the whole path"


@pytest.fixture
def table(tmp_path: Path, clips: dict[str, Path]) -> Path:
    return write_clips(tmp_path / "in.jsonl", [clips["bikes"], "bikes.mp4"])


def run(folder: Path, *words: str | Path, code: int) -> str:
    """What a command says on stderr that runs in a folder which is no longer there."""
    (folder / "gone").mkdir()
    script: list[str | Path] = ["sh", "-c", 'rmdir ../gone && exec "$@"', "sh", COMMAND]
    done = subprocess.run(
        [*script, *map(str, words)], cwd=folder / "gone", capture_output=True, text=True, check=False, timeout=HANG
    )
    assert done.returncode == code, done.stderr
    return done.stderr


def test_whole_paths_are_enough(tmp_path: Path, table: Path) -> None:
    options = ("--model", "frequency_tuned_v1", "--quiet", "--audit-json", tmp_path / "audit.json")
    last_line = run(tmp_path, "run", "--input", table, "--output", tmp_path / "out.jsonl", *options, code=1)
    assert last_line == "saliency-batch: total=2 ok=1 skipped=0 failed=1\n"
    whole, relative = read_rows(tmp_path / "out.jsonl")
    assert whole["saliency_status"] == "ok"
    assert relative["saliency_status"] == "missing-source"
    assert relative["saliency_error"] == f"the path starts from the current folder, {GONE}"
    run(tmp_path, "preview", "--input", table, "--output", tmp_path / "sheet.png", "--clips", "1", code=0)


@pytest.mark.parametrize(
    ("option", "value"), [("--output", "out.jsonl"), ("--memo", "memo"), ("--model-path", "a.onnx")]
)
def test_the_option_that_needs_the_folder_is_named(tmp_path: Path, table: Path, option: str, value: str) -> None:
    words = [option, value] if option == "--output" else ["--output", tmp_path / "out.jsonl", option, value]
    stderr = run(tmp_path, "run", "--input", table, *words, code=2)
    assert stderr.splitlines()[0] == f"ConfigError: {option} {value} starts from the current folder, {GONE}"


def test_other_commands_say_that_the_folder_is_gone(tmp_path: Path, table: Path) -> None:
    stderr = run(tmp_path, "preview", "--input", table, "--output", "sheet.png", code=2)
    assert stderr.splitlines()[0] == f"ConfigError: --output sheet.png starts from the current folder, {GONE}"
    options = ("--model", "frequency_tuned_v1", "--confine")
    stderr = run(tmp_path, "run", "--input", table, "--output", tmp_path / "out.jsonl", *options, code=2)
    assert stderr == f"FileNotFoundError: a relative path starts from the current folder, {GONE}\n"
