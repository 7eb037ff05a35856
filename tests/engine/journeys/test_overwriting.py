"""Commands that would write over a file of the user's are refused, and every file stays as it was."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.engine.conftest import command
from tests.in_process import run
from tests.rows import read_rows

from saliency_engine.errors import ConfigError, InputError, ModelError
from saliency_engine.models.entry import asset

BUILT_IN = ("--model", "frequency_tuned_v1")
RUN = ("run", "--input", "in.jsonl", "--output", "out.jsonl", "--memo", "off", "--quiet")
BENCH = ("--provider", "cpu", "--threads", "1", "--rounds", "1")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clips: dict[str, Path]) -> Path:
    """The current folder: a table, its clip, a model and a config file."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    shutil.copy(clips["bikes"], "clip.mp4")
    shutil.copy("clip.mp4", "clip.png")
    Path("in.jsonl").write_text('{"src": "clip.mp4"}\n')
    Path("empty.mp4").touch()
    Path("empty.jsonl").write_text('{"src": "empty.mp4"}\n')
    Path("pictures.jsonl").write_text('{"src": "clip.png"}\n')
    Path("model.onnx").write_bytes(asset("frequency_tuned_v1.onnx").read_bytes())
    Path("run.toml").write_text("quiet = true\n")
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.mark.parametrize(
    "options",
    [
        (*RUN, *BUILT_IN, "--audit-json", "./in.jsonl"),
        (*RUN, *BUILT_IN, "--audit-json", "out.jsonl"),
        (*RUN, *BUILT_IN, "--audit-json", "out.jsonl.partial"),
        (*RUN, *BUILT_IN, "--audit-json", "out.jsonl.rejects.jsonl"),
        (*RUN, *BUILT_IN, "--audit-json", "run.toml", "--config", "run.toml"),
        (*RUN, *BUILT_IN, "--rejects", "in.jsonl"),
        (*RUN, *BUILT_IN, "--audit-json", "clip.mp4"),
        ("run", "empty.jsonl", "-o", "out.jsonl", "--memo", "off", *BUILT_IN, "--audit-json", "empty.mp4"),
        ("preview", "empty.jsonl", "-o", "empty.mp4", *BUILT_IN),
        (*RUN, "--model-path", "model.onnx", "--audit-json", "model.onnx"),
        (*RUN, *BUILT_IN, "--memo", "in.jsonl"),
        (*RUN, *BUILT_IN, "--memo", "m", "--audit-json", "m-wal"),
        ("preview", *BUILT_IN, "--input", "in.jsonl", "--output", "in.jsonl"),
        ("preview", *BUILT_IN, "--input", "in.jsonl", "--output", "clip.mp4"),
        ("preview", "--model-path", "model.onnx", "--input", "in.jsonl", "--output", "model.onnx"),
        ("bench", "in.jsonl", *BUILT_IN, *BENCH, "--json", "in.jsonl"),
        ("bench", "in.jsonl", *BUILT_IN, *BENCH, "--json", "clip.mp4"),
        ("bench", "clip.mp4", *BUILT_IN, *BENCH, "--json", "./clip.mp4"),
        ("bench", "pictures.jsonl", *BUILT_IN, *BENCH, "--chart", "clip.png"),
        ("bench", "in.jsonl", *BUILT_IN, *BENCH, "--json", "b.png", "--chart", "b.png"),
        ("bench", "in.jsonl", "--model-path", "model.onnx", *BENCH, "--json", "model.onnx"),
    ],
    ids=" ".join,
)
def test_nothing_is_written_over(here: Path, options: tuple[str, ...]) -> None:
    before = contents(here)
    with pytest.raises(ConfigError, match=r"would overwrite .*: give --\S+ another path"):
        command(*options)
    assert contents(here) == before


@pytest.mark.parametrize(
    ("precious", "options"),
    [
        ("other.mp4", (*RUN, *BUILT_IN, "--audit-json", "other.mp4")),
        ("notes.txt", (*RUN, *BUILT_IN, "--audit-json", "notes.txt")),
        ("page.json", (*RUN, *BUILT_IN, "--audit-json", "page.json")),
        ("clip.csv", ("run", "in.jsonl", "-o", "clip.csv", *BUILT_IN)),
        ("clip.parquet", ("run", "in.jsonl", "-o", "clip.parquet", *BUILT_IN)),
        ("clip.jsonl.gz", ("run", "in.jsonl", "-o", "clip.jsonl.gz", *BUILT_IN)),
        ("array.jsonl", ("run", "in.jsonl", "-o", "array.jsonl", *BUILT_IN)),
        ("clip.jsonl", (*RUN, *BUILT_IN, "--rejects", "clip.jsonl")),
        ("clip.arrow", ("index", "in.jsonl", "-o", "clip.arrow")),
        ("other.mp4", ("preview", "in.jsonl", "-o", "other.mp4", *BUILT_IN)),
        ("other.mp4", ("bench", "in.jsonl", *BUILT_IN, *BENCH, "--json", "other.mp4")),
        ("clip.chart.png", ("bench", "in.jsonl", *BUILT_IN, *BENCH, "--chart", "clip.chart.png")),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_what_is_not_ours_is_not_replaced(here: Path, precious: str, options: tuple[str, ...]) -> None:
    texts = {"notes.txt": "my notes", "page.json": "<!doctype html>", "array.jsonl": '[{"src": "a.mp4"}]'}
    data = texts[precious].encode() if precious in texts else Path("clip.mp4").read_bytes()
    Path(precious).write_bytes(data)
    before = contents(here)
    with pytest.raises(ConfigError, match=r"would overwrite .*, where .* belongs: give --\S+ another path"):
        command(*options)
    assert contents(here) == before


@pytest.mark.parametrize("suffix", ["jsonl", "jsonl.zst", "csv", "tsv.gz", "parquet", "arrow"])
def test_what_a_run_has_written_and_empty_files_are_replaced(here: Path, suffix: str) -> None:
    Path(f"out.{suffix}").touch()
    Path("audit").write_text("\n")
    for _ in range(2):
        audit = ("--audit-json", "audit", "--memo", "off", "--quiet")
        run("in.jsonl", "-o", f"out.{suffix}", *audit, *BUILT_IN, cwd=here)
        assert json.loads(Path("audit").read_text())["summary"]["ok"] == 1


def write_parts(*names: str) -> None:
    Path("parts").mkdir(exist_ok=True)
    for name in names:
        pq.write_table(pa.table({"src": ["clip.mp4"], "part": [name]}), f"parts/{name}.parquet")


@pytest.mark.parametrize(
    "options",
    [
        ("run", "parts", "--output", "out.jsonl", "--audit-json", "parts/a.parquet"),
        (
            "run",
            "parts/*.parquet",
            "--output",
            "out.jsonl",
            "--rejects",
            "r.jsonl",
            "--audit-json",
            "./parts/b.parquet",
        ),
        ("run", "parts/a.parquet", "parts/b.parquet", "--output", "parts/a.parquet"),
        ("run", "parts", "--output", "parts/a.parquet"),
        ("run", "parts/*.parquet", "--output", "parts/b.parquet"),
        ("preview", "parts", "--output", "parts/a.parquet"),
        ("bench", "parts", *BENCH, "--json", "parts/b.parquet"),
        ("run", "clips.txt", "--output", "out.jsonl", "--audit-json", "clips.txt"),
    ],
    ids=" ".join,
)
def test_no_part_of_a_table_is_written_over(here: Path, options: tuple[str, ...]) -> None:
    write_parts("a", "b")
    Path("clips.txt").write_text("clip.mp4\n")
    before = contents(here) | contents(here / "parts")
    with pytest.raises((ConfigError, InputError), match=r"would overwrite|has the columns of the parts"):
        command(*options, *BUILT_IN)
    assert contents(here) | contents(here / "parts") == before


def test_an_output_among_the_parts_may_be_written_again(here: Path) -> None:
    write_parts("a", "b")
    for _ in range(2):
        run("parts", "--output", "parts/c.parquet", *BUILT_IN, "--memo", "off", "--quiet", cwd=here)
        assert pq.read_table("parts/c.parquet")["part"].to_pylist() == ["a", "b"]


def test_the_output_may_be_the_input(here: Path) -> None:
    Path("other.jsonl").hardlink_to("in.jsonl")
    run("--input", "in.jsonl", "--output", "in.jsonl", *BUILT_IN, "--memo", "off", "--quiet", cwd=here)
    assert read_rows(here / "in.jsonl")[0]["saliency_status"] == "ok"
    assert (here / "other.jsonl").read_text() == '{"src": "clip.mp4"}\n'


def test_a_model_is_not_installed_over_other_files(home: Path, mini: Path, licence: Path) -> None:
    digest = hashlib.sha256(mini.read_bytes()).hexdigest()
    install = ("models", "install", mini, "--model-id", "mini", "--sha256", digest)
    (home / "mini").mkdir(parents=True)
    notes = home / "mini" / "notes.txt"
    notes.write_text("mine")
    for own in (licence, notes):
        with pytest.raises((ModelError, ConfigError), match=r"would be lost|holds notes\.txt, which is no part"):
            command(*install, "--license", own)
        assert notes.read_text() == "mine"
    notes.rename(home / "mini" / "manifest.json")
    with pytest.raises(ConfigError, match=r"--license .*manifest\.json would be lost"):
        command(*install, "--license", home / "mini" / "manifest.json")
    command(*install, "--license", licence)
    command("models", "install", home / "mini" / "model.onnx", *install[3:], "--license", home / "mini" / "licence.txt")
    assert json.loads((home / "mini" / "entry.json").read_text())["sha256"] == digest


def test_files_are_not_fetched_from_where_downloads_go(home: Path) -> None:
    folder = home / ".downloads" / "mini"
    folder.mkdir(parents=True)
    (folder / "mini.onnx").write_text("mine")
    for base in (str(folder), f"file://{folder}"):
        with pytest.raises(ConfigError, match="is the folder for downloads, which is emptied"):
            command("models", "fetch", "mini", "--from", base)
    assert (folder / "mini.onnx").read_text() == "mine"
