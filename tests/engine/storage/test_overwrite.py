"""No command writes a file over one that it reads, or over another that it writes, whatever the paths look like."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from saliency_engine.errors import ConfigError
from saliency_engine.storage.overwrite import OF_SQLITE, Files


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in.jsonl").write_text('{"mine": 1}')
    (tmp_path / "sub").mkdir()
    return tmp_path


def spell_link(path: Path) -> str:
    path.with_name("link").symlink_to(path)
    return "link"


def spell_dangling_link(path: Path) -> str:
    path.unlink()
    return spell_link(path)


def spell_hard_link(path: Path) -> str:
    path.with_name("other").hardlink_to(path)
    return "other"


def spell_by_linked_folder(path: Path) -> str:
    path.with_name("folder").symlink_to(path.parent)
    path.unlink()
    return "folder/in.jsonl"


@pytest.mark.parametrize(
    "spell",
    [
        lambda _: "in.jsonl",
        lambda _: "./in.jsonl",
        lambda _: "sub/../in.jsonl",
        str,
        spell_link,
        spell_dangling_link,
        spell_hard_link,
        spell_by_linked_folder,
    ],
)
@pytest.mark.parametrize("reads_first", [True, False])
def test_one_file_by_any_name(here: Path, spell: Callable[[Path], str], reads_first: bool) -> None:
    spelled, files = spell(here / "in.jsonl"), Files()
    message = rf"^--audit-json {spelled} would overwrite --input in\.jsonl: give --audit-json another path$"
    if reads_first:
        files.reads("--input", "in.jsonl")
    else:
        files.writes("--audit-json", spelled)
    with pytest.raises(ConfigError, match=message):
        files.writes("--audit-json", spelled) if reads_first else files.reads("--input", "in.jsonl")


@pytest.mark.usefixtures("here")
def test_what_is_written_beside_a_file_counts() -> None:
    for first, second in (("out", "out.partial"), ("out.partial", "out")):
        files = Files()
        files.writes("--output", first)
        with pytest.raises(ConfigError, match=r"--rejects .*would overwrite --output"):
            files.writes("--rejects", second)
    for suffix in OF_SQLITE:
        files = Files()
        files.reads("--input", f"memo{suffix}")
        with pytest.raises(
            ConfigError, match=rf"--memo memo \(with .*memo{suffix} beside it\) would overwrite --input"
        ):
            files.writes("--memo", "memo", OF_SQLITE)
    files = Files()
    files.reads("--input", "out.partial")
    with pytest.raises(ConfigError, match="would overwrite --input"):
        files.writes("--output", "out", may_replace="--input")


@pytest.mark.usefixtures("here")
def test_different_files_are_fine_and_an_output_may_replace_its_input() -> None:
    files = Files()
    files.reads("--config", "")
    files.reads("--input", "in.jsonl")
    files.writes("--output", "./in.jsonl", may_replace="--input")
    files.writes("--audit-json", "")
    files.writes("--rejects", "sub/in.jsonl")
    files.writes("--memo", "new/in.jsonl")
    with pytest.raises(ConfigError, match=r"--audit-json in\.jsonl would overwrite --"):
        files.writes("--audit-json", "in.jsonl")


def test_a_clip_is_known_by_what_is_known_of_it(here: Path) -> None:
    files = Files()
    files.writes("--audit-json", "in.jsonl")
    with pytest.raises(ConfigError, match=r"--audit-json in\.jsonl would overwrite the clip /x"):
        files.reads_clip("/x", (here / "in.jsonl").stat())
    files.reads_clip("/x", (here / "sub").stat())


def test_pipes_are_files_where_the_shell_made_them_so(here: Path) -> None:
    saved = os.dup(0), os.dup(1)
    try:
        for number, flags in ((0, os.O_RDONLY), (1, os.O_WRONLY | os.O_APPEND)):
            file = os.open(here / "in.jsonl", flags)
            os.dup2(file, number)
            os.close(file)
        files = Files()
        files.reads("--input", "-")
        files.writes("--output", "in.jsonl", may_replace="--input")
        with pytest.raises(ConfigError, match=r"--audit-json in\.jsonl would overwrite --"):
            files.writes("--audit-json", "in.jsonl")
        files = Files()
        files.reads("--input", "in.jsonl")
        with pytest.raises(ConfigError, match="--output - would overwrite --input"):
            files.writes("--output", "-", may_replace="--input")
    finally:
        for number, handle in enumerate(saved):
            os.dup2(handle, number)
            os.close(handle)
