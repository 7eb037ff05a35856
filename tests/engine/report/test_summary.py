"""The end of a run, as people and programs read it."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from tests.in_process import run, stderr_of

MODEL = ("--model", "frequency_tuned_v1")


@pytest.fixture
def table(tmp_path: Path, clips: dict[str, Path]) -> Path:
    """A sound clip, two that are no videos, four that are not there, and a line that is no row."""
    shutil.copyfile(clips["bikes"], tmp_path / "good.mp4")
    for name in ("bad1.mp4", "bad2.mp4"):
        (tmp_path / name).write_bytes(b"no video" * 100)
    names = ["good.mp4", "bad1.mp4", "bad2.mp4", "gone1.mp4", "gone22.mp4", "gone3.mp4", "gone4.mp4", "gone4.mp4"]
    lines = [json.dumps({"src": name}) for name in names]
    (tmp_path / "in.jsonl").write_text("\n".join([*lines, "[]"]) + "\n")
    return tmp_path / "in.jsonl"


def test_failures_are_counted_by_reason_with_examples(table: Path) -> None:
    folder = table.parent
    options = ("--root", folder, "-o", folder / "out.jsonl", "--audit-json", folder / "audit.json", *MODEL)
    lines = run(table, *options, code=1, text=True).stderr.splitlines()
    assert lines[-1] == "saliency-batch: total=9 ok=1 skipped=0 failed=8"
    text = "\n".join(lines)
    assert "5 missing-source: no such file\n" in text
    for example in ("gone1.mp4", "gone22.mp4", "gone3.mp4", "bad1.mp4"):
        assert f"  {folder / example}" in text
    assert f"  {folder / 'gone4.mp4'}" not in text
    assert f"output      {folder / 'out.jsonl'} (" in text
    assert f"audit       {folder / 'audit.json'}" in text
    assert "memo  " in text
    assert "busy" not in text
    failures = json.loads((folder / "audit.json").read_text())["failures"]
    assert [(one["status"], one["rows"], one["clips"]) for one in failures] == [
        ("missing-source", 5, 4),
        ("decode-failed", 2, 2),
    ]
    assert failures[0]["examples"][1] == {
        "clip": "gone22.mp4",
        "path": str(folder / "gone22.mp4"),
        "reason": f"no such file: {folder / 'gone22.mp4'}",
    }
    assert failures[1]["examples"][0]["path"] == str(folder / "bad1.mp4")


def test_quiet_speaks_up_when_something_failed(table: Path) -> None:
    folder = table.parent
    options = ("--root", folder, "-o", folder / "out.jsonl", "--quiet", *MODEL)
    assert run(table, *options, code=1, text=True).stderr == "saliency-batch: total=9 ok=1 skipped=0 failed=8\n"


def test_stages_are_told_when_asked_for(table: Path) -> None:
    folder = table.parent
    options = ("--root", folder, "-o", folder / "out.jsonl", "--verbose", *MODEL)
    text = run(table, *options, code=1, text=True).stderr
    assert "  decode    " in text
    assert "% busy" in text


@pytest.mark.parametrize(("limit", "code"), [("8", 1), ("7", 2), ("88.8%", 2), ("89%", 1), ("0", 2)])
def test_a_run_with_too_many_failures_writes_nothing(table: Path, limit: str, code: int) -> None:
    folder, output = table.parent, table.parent / "out.jsonl"
    options = ("--root", folder, "-o", output, "--max-failures", limit, *MODEL)
    text = run(table, *options, code=code, text=True).stderr
    assert output.exists() == (code == 1)
    assert (f"more than --max-failures {limit} allows" in text) == (code == 2)


@pytest.mark.parametrize("limit", ["-1", "5 %", "many", "1.5", "%"])
def test_a_limit_that_is_none_is_refused(table: Path, limit: str) -> None:
    text = run(table, "-o", table.parent / "out.jsonl", f"--max-failures={limit}", code=2, text=True).stderr
    assert f"--max-failures is {limit!r}: give a number of rows, or a share such as 5%" in text


def test_a_table_of_which_no_clip_is_found_gets_a_hint(table: Path, tmp_path: Path) -> None:
    table.write_text("".join(json.dumps({"src": f"clips/{n}"}) + "\n" for n in range(4)))
    text = run(table, "-o", tmp_path / "out.jsonl", *MODEL, code=1, text=True, cwd=tmp_path).stderr
    gives = (
        f"column 'src' gives 'clips/0', which stands for {tmp_path / 'clips/0'}, and there is no {tmp_path / 'clips'}."
    )
    assert gives in text
    assert all(option in text for option in ("--path-column", "--root", "--path-suffix", "--path-template"))


@pytest.mark.parametrize(
    ("names", "options", "cure"),
    [
        (["good", "good"], (), "give --path-suffix .mp4"),
        (["corpus/good.mp4"], ("--root", "corpus"), "give --root {folder}"),
        (["deeper.mp4"], (), "give --root {folder}/corpus"),
        (["far/good.mp4"], (), "--path-regex 'src=far/(.*)'"),
        (["12345.mp4"], (), "lost its leading zeros; write the ids as text"),
        (["good.mp4", "good"], (), "not every clip was found, but"),
    ],
)
def test_a_look_at_the_disk_finds_what_would_help(
    names: list[str], options: tuple[str, ...], cure: str, table: Path, tmp_path: Path
) -> None:
    table.write_text("".join(json.dumps({"src": name}) + "\n" for name in names))
    (tmp_path / "corpus").mkdir()
    for copy in ("corpus/good.mp4", "corpus/deeper.mp4", "0012345.mp4"):
        shutil.copyfile(tmp_path / "good.mp4", tmp_path / copy)
    text = run(table, "-o", tmp_path / "out.jsonl", *options, *MODEL, code=1, text=True, cwd=tmp_path).stderr
    assert cure.format(folder=tmp_path) in text


def test_the_root_folder_is_no_clip(table: Path, tmp_path: Path) -> None:
    """The look at the disk ended in a traceback, after the output was written."""
    table.write_text('{"src": "/"}\n')
    text = stderr_of("run", table, "-o", tmp_path / "out.jsonl", *MODEL, code=1)
    assert "1 missing-source: " in text
    assert "no clip was found: column 'src' gives '/'" in text


def test_reasons_have_their_own_numbers(table: Path, clips: dict[str, Path], tmp_path: Path) -> None:
    rows = [{"src": str(clips[name])} for name in ("bikes", "bigbuckbunny")]
    table.write_text("".join(json.dumps(row) + "\n" for row in rows))
    options = ("--max-frames", "4000", "--frame-samples", "4000", *MODEL)
    text = run(table, "-o", tmp_path / "out.jsonl", *options, code=1, text=True).stderr
    assert re.search(r"2 decode-failed: the clip gives \d+ of the 4000 frames .*, and the like\n", text)


@pytest.mark.parametrize("command", ["run", "index"])
def test_the_first_rejected_line_is_shown(tmp_path: Path, command: str) -> None:
    (tmp_path / "in.jsonl").write_text('\nsrc\n{"src": 1\n[]\n')
    message = stderr_of(command, tmp_path / "in.jsonl", "-o", tmp_path / "out.jsonl", code=1)
    assert "(3 lines that are no rows" in message
    assert message.count("line 2: not a JSON object: Expecting value") == 1
    assert "line 3: " not in message


@pytest.mark.parametrize("command", ["run", "index"])
@pytest.mark.parametrize(("name", "text"), [("in.jsonl", ""), ("in.jsonl", "\n\n"), ("in.csv", "src,mos\n")])
def test_a_table_without_rows_is_told(tmp_path: Path, command: str, name: str, text: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    message = stderr_of(command, path, "-o", tmp_path / "out.jsonl", "--quiet")
    assert f"warning: {path} has no rows, and so the output has none\n" in message
    path.write_text(text + "src\n")
    message = stderr_of(command, path, "-o", tmp_path / "out.jsonl", "--quiet", code=1)
    assert "has no rows" not in message
