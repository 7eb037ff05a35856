"""Foreign text cannot steer a terminal or mislead its reader."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.in_process import saliency_batch
from tests.processes import HANG, MAIN
from tests.rows import write_rows

from saliency_engine.report.terminal import printable

EVIL = "a\x1b]0;title\x07\x1b[2J\r\n\u202egpj.\x9b31m[/bold]"
ESCAPED = "a\\x1b]0;title\\x07\\x1b[2J\\r\\n\\u202egpj.\\x9b31m[/bold]"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain [markup] é 漢字 🎞 a b", "plain [markup] é 漢字 🎞 a b"),
        (EVIL, ESCAPED),
        ("tab\tnul\0del\x7f", "tab\\tnul\\x00del\\x7f"),
        ("half \udcff, line \u2028, mark \ufeff", "half \\udcff, line \\u2028, mark \\ufeff"),
    ],
)
def test_only_what_can_be_printed_is(text: str, shown: str) -> None:
    assert printable(text) == shown


def say(*arguments: str | Path, code: int) -> str:
    """What a command says on a terminal, all of it."""
    done = saliency_batch(*arguments, code=code)
    text = str((done.stdout + done.stderr).decode())
    assert not set(text) & set("\x1b\x07\r\u202e\x9b")
    return text


def test_a_table_shown_does_not_steer_the_terminal(tmp_path: Path) -> None:
    rows = [{"src": EVIL, "saliency_status": EVIL, "saliency_" + EVIL: 0.5, "saliency_mean": 1.5}]
    write_rows(tmp_path / "in.jsonl", rows)
    assert "\\x1b" in say("show", tmp_path / "in.jsonl", code=0)
    assert ESCAPED in say("show", tmp_path / EVIL, code=2)


def test_a_run_says_nothing_that_steers_the_terminal(tmp_path: Path, clips: dict[str, Path]) -> None:
    clip = shutil.copyfile(clips["bikes"], tmp_path / f"{EVIL.replace('/', ':')}.mp4")
    (tmp_path / "in.jsonl").write_text(json.dumps({"src": str(clip)}) + "\n" + json.dumps({"src": EVIL}) + "\n")
    options = ("run", "--input", tmp_path / "in.jsonl", "--output", tmp_path / "out.jsonl", "--model")
    assert "1 ok" in say(*options, "frequency_tuned_v1", "--model-id", EVIL, code=1)
    assert "ModelError: no model 'a\\x1b" in say(*options, EVIL, code=2)
    folder = tmp_path / f"{EVIL}.jsonl"
    folder.mkdir(parents=True)
    elsewhere = ("--output", folder, "--model", "frequency_tuned_v1")
    assert ESCAPED in say(*options[:3], *elsewhere, code=2)


def test_output_that_cannot_be_printed_here_is_escaped(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text(json.dumps({"src": "é漢.mp4"}) + "\n")
    ascii_only = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0"}
    done = subprocess.run(
        [*MAIN, "show", tmp_path / "in.jsonl"], capture_output=True, check=False, timeout=HANG, env=ascii_only
    )
    assert done.returncode == 0, done.stderr.decode()
    assert b"\\xe9\\u6f22.mp4" in done.stdout
