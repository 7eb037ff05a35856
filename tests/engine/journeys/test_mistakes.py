"""Commands with a slip in them: each gets a message that says what to do."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tests.in_process import stderr_of
from tests.rows import read_rows, write_clips

MODEL = ("--model", "frequency_tuned_v1")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clips: dict[str, Path]) -> Path:
    """The current folder, with a clip and a table of it."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(clips["bikes"], "a.mp4")
    write_clips(Path("in.jsonl"), ["a.mp4"])
    return tmp_path


@pytest.mark.parametrize("command", ["run", "index"])
@pytest.mark.parametrize("root", ["gone", "a.mp4"])
def test_a_root_that_is_no_folder(here: Path, command: str, root: str) -> None:
    message = stderr_of(command, "in.jsonl", "-o", "out.jsonl", "--root", root, code=2)
    assert f"ConfigError: --root {root}: there is no folder {here / root}\n" in message
    assert not Path("out.jsonl").exists()


@pytest.mark.parametrize("command", ["run", "index"])
def test_a_pixel_format_that_does_not_exist(here: Path, command: str) -> None:
    message = stderr_of(command, "in.jsonl", "-o", "out.jsonl", "--yuv-pixel-format", "yuv420p10bit", code=2)
    assert "ConfigError: --yuv-pixel-format: unknown pixel format 'yuv420p10bit'; give one such as yuv420p" in message
    assert not (here / "out.jsonl").exists()


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("options", "is_warned"),
    [
        (("--ema-alpha", "0.9"), True),
        (("--ema-alpha", "0.9", "--temporal-aggregator", "max"), True),
        (("--ema-alpha", "0.9", "--temporal-aggregator", "ema"), False),
        ((), False),
    ],
)
def test_an_alpha_without_ema(options: tuple[str, ...], is_warned: bool) -> None:
    message = stderr_of("run", "in.jsonl", "-o", "out.jsonl", *MODEL, *options)
    assert ("warning: --ema-alpha 0.9 changes no number with --temporal-aggregator m" in message) == is_warned


@pytest.mark.usefixtures("here")
def test_a_table_without_a_header() -> None:
    Path("in.csv").write_text("3.2,a.mp4\n4.1,a.mp4\n")
    message = stderr_of("run", "in.csv", "-o", "out.csv", *MODEL, code=2)
    options = ("--no-header", "--path-column", "column_2")
    assert f"'3.2', 'a.mp4'. The first line looks like a row: give {' '.join(options)}\n" in message
    stderr_of("run", "in.csv", "-o", "out.csv", *MODEL, *options)
    assert Path("out.csv").read_text().startswith("column_1,column_2,saliency_mean")


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(("name", "is_near"), [("SRC", True), ("source", True), ("srcs", True), ("clip", False)])
def test_a_column_of_a_similar_name(name: str, is_near: bool) -> None:
    Path("in.csv").write_text(f"mos,{name}\n3,a.mp4\n")
    message = stderr_of("run", "in.csv", "-o", "out.csv", *MODEL, code=2)
    assert (f"did you mean {name!r}? " in message) == is_near
    assert "looks like a row" not in message


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("url", ["https://example.org/clips.csv", "s3://bucket/clips/", "http://example.org/a.mp4"])
def test_a_url_as_input(url: str) -> None:
    message = stderr_of("run", url, "-o", "out.jsonl", *MODEL, code=2)
    assert message == f"InputError: {url}: URLs are not read: download the file first, or give --allow-remote\n"
    message = stderr_of("show", url, code=2)  # which has no such option
    assert message == f"InputError: {url}: URLs are not read: download the file first\n"


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("data", "kind"),
    [(b"<!doctype html>\n", "a web page"), (b'{"src": "a.mp4"}\n', "JSON"), (b"PK\x03\x04" * 9, "a ZIP archive")],
)
def test_a_list_that_is_none(data: bytes, kind: str) -> None:
    Path("clips.txt").write_bytes(data)
    message = stderr_of("run", "clips.txt", "-o", "out.jsonl", *MODEL, code=2)
    assert f"InputError: clips.txt: the list clips.txt is {kind}, where one path a line belongs" in message


@pytest.mark.usefixtures("here")
def test_a_url_in_a_row() -> None:
    write_clips(Path("in.jsonl"), ["https://example.org/a.mp4", "file:///a.mp4", "a.mp4"])
    Path("https:", "example.org").mkdir(parents=True)
    stderr_of("run", "in.jsonl", "-o", "out.jsonl", *MODEL, code=1)
    rows = read_rows(Path("out.jsonl"))
    assert [row["saliency_status"] for row in rows] == ["missing-source", "missing-source", "ok"]
    reason = "URLs are not read: download the file first"
    assert [row["saliency_error"] for row in rows[:2]] == [f"{reason}, or give --allow-remote", reason]
    Path("a.mp4").rename("https:/example.org/a.mp4")  # a file may have such a path
    stderr_of("run", "in.jsonl", "-o", "again.jsonl", *MODEL, code=1)
    assert read_rows(Path("again.jsonl"))[0]["saliency_status"] == "ok"
