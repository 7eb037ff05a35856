"""Commands over what people have: folders, patterns, several clips, lists and CSV, by way of the command line."""

from __future__ import annotations

import csv
import gzip
import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from tests import processes
from tests.in_process import run, saliency_batch, stderr_of
from tests.rows import read_rows

MODEL = ("--model", "frequency_tuned_v1")


@pytest.fixture
def corpus(tmp_path: Path, clips: dict[str, Path]) -> Path:
    """A folder ``clips`` with two real clips, one of them deeper, and a broken one."""
    (tmp_path / "clips" / "deep").mkdir(parents=True)
    shutil.copy(clips["bikes"], tmp_path / "clips" / "b.mp4")
    shutil.copy(clips["carphone_pristine"], tmp_path / "clips" / "deep" / "c.mp4")
    (tmp_path / "clips" / "a.mp4").write_text("no video")
    return tmp_path


def test_a_folder_becomes_a_table(corpus: Path) -> None:
    run("clips/", "-o", "out.parquet", *MODEL, "--audit-json", "audit.json", code=1, cwd=corpus)
    rows = pq.read_table(corpus / "out.parquet").to_pylist()
    assert [row["src"] for row in rows] == ["clips/a.mp4", "clips/b.mp4", "clips/deep/c.mp4"]
    assert [row["saliency_status"] for row in rows] == ["decode-failed", "ok", "ok"]
    audit = json.loads((corpus / "audit.json").read_text())
    assert audit["input"] == "clips/"
    assert audit["run_provenance"]["inputs"]["input"] == {"path": "clips/", "exists": True, "kind": "directory"}

    run("out.parquet", "-o", "again.csv", *MODEL, code=1, cwd=corpus)
    with (corpus / "again.csv").open(newline="") as file:
        again = list(csv.DictReader(file))
    assert [row["saliency_status"] for row in again] == ["decode-failed", "skipped-existing", "skipped-existing"]
    assert [row["saliency_mean"] for row in again[1:]] == [repr(row["saliency_mean"]) for row in rows[1:]]


def test_several_clips_and_patterns_become_rows(corpus: Path) -> None:
    done = run("clips/b.mp4", "clips/d*/", "-o", "-", *MODEL, "--root", "clips", cwd=corpus)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(row["src"], row["saliency_status"]) for row in rows] == [("b.mp4", "ok"), ("deep/c.mp4", "ok")]
    (corpus / "options.toml").write_text('input = ["clips/b.mp4", "clips/deep"]\n')
    run("--config", "options.toml", "-o", "out.jsonl", *MODEL, "--audit-json", "audit.json", cwd=corpus)
    assert [row["src"] for row in read_rows(corpus / "out.jsonl")] == ["clips/b.mp4", "clips/deep/c.mp4"]
    audit = json.loads((corpus / "audit.json").read_text())
    assert audit["input"] == ["clips/b.mp4", "clips/deep"]
    assert set(audit["run_provenance"]["inputs"]) == {"input", "input_1", "model"}


def test_nothing_is_appended_to_clips_that_are_named(corpus: Path) -> None:
    ids = ("--path-suffix", ".mp4", "--path-template", "no/{src}")
    done = run("clips/b.mp4", "clips/deep/", "-o", "-", *MODEL, *ids, cwd=corpus)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(row["src"], row["saliency_status"]) for row in rows] == [("clips/b.mp4", "ok"), ("clips/deep/c.mp4", "ok")]


def test_scores_without_a_header_keep_their_bytes(corpus: Path) -> None:
    (corpus / "scores.csv").write_bytes(b'"b.mp4";62,50;007\r\nb.mp4;1;"x\ny"')
    options = ["--no-header", "--path-column", "column_1", "--root", "clips"]
    run("scores.csv", "-o", "out.csv", *MODEL, *options, "--error-column", "", "--sampling-column", "", cwd=corpus)
    header, *rows = (corpus / "out.csv").read_bytes().split(b"\r\n")
    assert header.startswith(b"column_1;column_2;column_3;saliency_mean;")
    assert rows[0].startswith(b'"b.mp4";62,50;007;0.')
    assert rows[1].startswith(b'b.mp4;1;"x\ny";0.')
    assert all(row.endswith(b";ok;frequency_tuned_v1;mean;0.6") for row in rows)


def test_scores_come_through_a_pipe_and_leave_by_one(corpus: Path) -> None:
    scores = b'name\tmos\n"b.mp4"\t007\n'
    options = [*MODEL, "--path-column", "name", "--root", "clips", "--error-column", ""]
    done = processes.run("-", "-o", "-", *options, cwd=corpus, input=scores)
    header, row, end = done.stdout.split(b"\n")
    assert header.startswith(b"name\tmos\tsaliency_mean\t")
    assert row.startswith(b'"b.mp4"\t007\t0.')
    assert end == b""
    shown = processes.saliency_batch("show", "-", cwd=corpus, input=done.stdout).stdout
    assert b"b.mp4" in shown
    processes.run("-", "-o", "out.csv.gz", *options, cwd=corpus, input=scores)
    assert gzip.decompress((corpus / "out.csv.gz").read_bytes()) == done.stdout


def test_the_other_commands_take_the_same(corpus: Path) -> None:
    (corpus / "list.txt").write_text("clips/b.mp4\n")
    shown = saliency_batch("show", "clips", "list.txt", cwd=corpus, text=True).stdout
    assert [line.split()[1] for line in shown.splitlines() if ".mp4" in line] == [
        *("clips/a.mp4", "clips/b.mp4", "clips/deep/c.mp4", "clips/b.mp4")
    ]
    saliency_batch("preview", "list.txt", "-o", "sheet.png", *MODEL, cwd=corpus)
    assert (corpus / "sheet.png").read_bytes().startswith(b"\x89PNG")


def test_the_input_is_given_once(tmp_path: Path) -> None:
    output = str(tmp_path / "out.jsonl")
    assert "the input is given twice, as a.csv and by --input b.csv" in stderr_of(
        "run", "a.csv", "--input", "b.csv", "-o", output, *MODEL, code=2
    )
    assert "--input is missing: give a table or clips" in stderr_of("preview", "-o", "sheet.png", *MODEL, code=2)
    assert "--input is missing" in stderr_of("run", "-o", output, *MODEL, code=2)
