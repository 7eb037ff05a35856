"""``saliency-batch batch``: many tables, one engine, each clip once; what the report says; how it ends."""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.engine.conftest import command
from tests.engine.jobs.batches import MODEL, table, write_manifest
from tests.rows import read_rows, write_clips, write_rows

from saliency_engine.config import RunConfig
from saliency_engine.jobs.batch import BatchJob, run_batch
from saliency_engine.jobs.run import run_table
from saliency_engine.report.batch_report import batch_report, write_reports
from saliency_engine.table_job import TableJob

QUIET = {"quiet": True, "decode_workers": 2}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory, forty: list[Path]) -> Path:
    """Thirty clips, three of them broken, and five tables of them: each clip stands in two tables, on the average."""
    folder = tmp_path_factory.mktemp("corpus")
    (folder / "clips").mkdir()
    for number, clip in enumerate(forty[:30]):
        shutil.copy(clip, folder / "clips" / f"{number}.mp4")
    for number in (3, 11, 19):
        (folder / "clips" / f"{number}.mp4").write_bytes(b"no video at all")
    for place, name in enumerate("abcde"):
        write_clips(folder / f"{name}.jsonl", [f"clips/{(6 * place + row) % 30}.mp4" for row in range(12)])
    return folder


def test_five_tables_over_thirty_clips(corpus: Path, tmp_path: Path) -> None:
    options: dict[str, dict[str, Any]] = {
        "b": {"temporal_aggregator": "max"},
        "c": {"temporal_aggregator": "ema", "ema_alpha": 0.3},
    }
    tables = [table(name, audit_json=f"audit/{name}.json", **options.get(name, {})) for name in "abcde"]
    tables.insert(2, table("lost", _comment="there is no such table"))
    manifest = write_manifest(corpus, tables, root=".")
    report = tmp_path / "report.json"
    done = run_batch(BatchJob(manifest, QUIET, report_json=str(report), report_md=str(tmp_path / "r.md")))

    written = json.loads(report.read_text())
    assert {name: value for name, value in written.items() if name != "run_provenance"} == json.loads(json.dumps(done))
    assert written["run_provenance"]["schema"] == "ai-run-provenance-v1"
    keys = {"schema", "status", "manifest", "summary", "tables", "run_provenance"}
    assert (written.keys(), written["schema"]) == (keys, "saliency-materializer-batch-v1")
    assert (written["status"], written["manifest"]) == ("failed", manifest)
    assert [entry["id"] for entry in written["tables"]] == ["a", "b", "lost", "c", "d", "e"]
    broken = {"a": 2, "b": 1, "c": 1, "d": 1, "e": 1}  # those of clips 3, 11 and 19 in rows 0–11, 6–17, 12–23, 18–29
    for entry in written["tables"]:
        name = entry["id"]
        assert entry["audit_json"] == (None if name == "lost" else str(corpus / f"audit/{name}.json"))
        assert (entry["input"], entry["output"]) == (str(corpus / f"{name}.jsonl"), str(corpus / f"out/{name}.jsonl"))
        assert entry["config"]["temporal_aggregator"] == options.get(name, {}).get("temporal_aggregator", "mean")
        if name == "lost":
            assert entry["status"] == "error"
            assert entry["error"] == f"InputError: {corpus}/lost.jsonl: no such file"
            continue
        assert (entry["status"], entry.keys() & {"error"}) == ("row-failures", set())
        failed = broken[name]
        assert entry["summary"] == {"total": 12, "ok": 12 - failed, "skipped_existing": 0, "failed": failed}
        audit = json.loads((corpus / f"audit/{name}.json").read_text())
        assert (audit["schema"], audit["table_id"]) == ("saliency-materializer-audit-v1", name)
        assert audit["batch_manifest"] == manifest
    failed = sum(broken.values())
    assert written["summary"] == {
        **{"tables": 6, "failed_tables": 6, "total": 60},
        **{"ok": 60 - failed, "skipped_existing": 0, "failed": failed},
    }
    lines = (tmp_path / "r.md").read_text().splitlines()
    assert lines[:3] == ["# Saliency Materializer Batch Report", "", "Status: **failed**"]
    assert f"| a | row-failures | 12 | 10 | 0 | 2 | `{corpus}/out/a.jsonl` |" in lines

    clips = [json.loads((corpus / f"audit/{name}.json").read_text())["clips"] for name in "abcde"]
    assert sum(each["computed"] for each in clips) == 27
    assert [each["computed"] + each["reused"] for each in clips] == [12 - broken[name] for name in "abcde"]
    assert [each["failed"] for each in clips] == list(broken.values())
    # Whatever ran before it on the engine, a table is what it is when it is computed alone.
    config = RunConfig(model=MODEL, temporal_aggregator="ema", ema_alpha=0.3, memo="off", root=str(corpus))
    run_table(TableJob(input=str(corpus / "c.jsonl"), output=str(tmp_path / "c.jsonl"), quiet=True), config)
    assert (tmp_path / "c.jsonl").read_bytes() == (corpus / "out" / "c.jsonl").read_bytes()


def test_another_model_gets_an_engine_of_its_own_and_the_same_memo(tmp_path: Path, clips: dict[str, Path]) -> None:
    names = ["a", "b", "c", "d"]
    for name in names:
        write_clips(tmp_path / f"{name}.jsonl", [clips["bikes"], clips["carphone_pristine"]])
    other = {"sampling": "uniform", "frame_samples": 4}
    tables = [table(name, audit_json=f"{name}.json", **({} if name in "ac" else other)) for name in names]
    run_batch(BatchJob(write_manifest(tmp_path, tables), QUIET))
    counts = [json.loads((tmp_path / f"{name}.json").read_text())["clips"] for name in names]
    assert [(each["computed"], each["reused"]) for each in counts] == [(2, 0), (2, 0), (0, 2), (0, 2)]
    rows = [read_rows(tmp_path / "out" / f"{name}.jsonl")[0]["saliency_sampling"] for name in names]
    assert rows == ["head:8@320x320", "uniform:4@320x320"] * 2
    assert [path.name for path in tmp_path.rglob("*.sqlite")] == ["saliency.memo.sqlite"]


STATES = ("ok", "row-failures", "error")


@pytest.mark.parametrize("allow", [False, True])
@pytest.mark.parametrize(
    "states", [pair for n in (1, 2) for pair in itertools.combinations_with_replacement(STATES, n)]
)
def test_the_status_of_a_batch(states: Sequence[str], allow: bool) -> None:
    summary = {"total": 1, "ok": 0, "skipped_existing": 0, "failed": 1}
    tables = [{"id": str(n), "status": state, "summary": summary} for n, state in enumerate(states)]
    status = batch_report("m", tables, allow_row_failures=allow)["status"]
    if "error" in states or ("row-failures" in states and not allow):
        assert status == "failed"
    else:
        assert status == ("row-failures" if "row-failures" in states else "ok")


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """Tables that need no clip: one is ok, one has a row that fails, one is not there."""
    write_rows(tmp_path / "fine.jsonl", [{"src": "x", "saliency_mean": 0.5, "saliency_var": 0.1}])
    write_rows(tmp_path / "poor.jsonl", [{"src": "x.mp4"}])
    return tmp_path


@pytest.mark.parametrize(
    ("names", "flags", "code", "done"),
    [
        (["fine"], [], 0, ["fine"]),
        (["poor", "fine"], [], 1, ["poor", "fine"]),
        (["poor", "fine"], ["--allow-row-failures"], 0, ["poor", "fine"]),
        (["poor", "fine"], ["--fail-fast"], 1, ["poor"]),
        (["poor", "fine"], ["--fail-fast", "--allow-row-failures"], 0, ["poor"]),
        (["lost", "fine"], [], 1, ["lost", "fine"]),
        (["lost", "fine"], ["--allow-row-failures"], 1, ["lost", "fine"]),
        (["lost", "fine"], ["--fail-fast"], 1, ["lost"]),
        (["lost", "poor"], ["--fail-fast", "--allow-row-failures"], 1, ["lost"]),
        (["poor", "lost"], ["--allow-row-failures"], 1, ["poor", "lost"]),
    ],
)
def test_exit_statuses(
    mixed: Path, capsys: pytest.CaptureFixture[str], *, names: list[str], flags: list[str], code: int, done: list[str]
) -> None:
    manifest = write_manifest(mixed, [table(name) for name in names])
    report = mixed / "r.json"
    assert batch(manifest, "--report-json", report, *flags) == code
    assert [entry["id"] for entry in json.loads(report.read_text())["tables"]] == done
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1].startswith(f"saliency-batch: tables={len(done)} total=")
    assert any(line.startswith("note: --fail-fast stops the batch") for line in lines) == (len(done) < len(names))


def batch(*arguments: str | Path) -> int:
    """The exit status of ``saliency-batch batch``."""
    with pytest.raises(SystemExit) as end:
        command("batch", *arguments)
    return int(end.value.code or 0)


def test_a_plan_says_what_is_to_be_done_and_writes_nothing(
    tmp_path: Path, clips: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    both = [clips["bikes"], clips["carphone_pristine"]]
    write_clips(tmp_path / "a.jsonl", [*both, tmp_path / "gone.mp4"])
    write_clips(tmp_path / "b.jsonl", [clips["bikes"], clips["bikes"]])
    manifest = write_manifest(tmp_path, [table("a"), table("b"), table("lost")])
    assert batch(manifest, "--dry-run", "--report-json", tmp_path / "r.json") == 1
    words = capsys.readouterr().out
    assert figures(words) == [["a", "3", "0", "1", "2", "0"], ["b", "2", "0", "0", "1", "0"], ["lost", *[""] * 5]]
    assert f"table 'a': 1 of 3 rows would fail: no such file: {tmp_path}/gone.mp4" in words
    assert f"table 'lost': cannot be processed: InputError: {tmp_path}/lost.jsonl: no such file" in words
    assert "2 clips to compute, 0 in the memo; expected time: 0:00:" in words
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path.suffix not in {".json", ".jsonl"}]
    assert {path.name for path in tmp_path.rglob("*.json*")} == {"m.json", "a.jsonl", "b.jsonl"}

    manifest = write_manifest(tmp_path, [table("a"), table("b")])
    run_batch(BatchJob(manifest, QUIET))
    capsys.readouterr()
    assert batch(manifest, "--dry-run", "--allow-row-failures") == 0
    words = capsys.readouterr().out
    assert figures(words) == [["a", "3", "0", "1", "2", "2"], ["b", "2", "0", "0", "1", "1"]]
    assert "0 clips to compute, 2 in the memo; expected time: 0:00:00" in words


def figures(words: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.split("│")[1:-1]] for line in words.splitlines() if line.startswith("│")]


def test_a_plan_shows_rows_that_other_settings_made(tmp_path: Path, clips: dict[str, Path]) -> None:
    other = {"saliency_mean": 0.5, "saliency_var": 0.1, "saliency_model_id": "another"}
    write_rows(tmp_path / "a.jsonl", [{"src": str(clips["bikes"])}, {"src": "x", **other}])
    assert batch(write_manifest(tmp_path, [table("a")]), "--dry-run") == 1
    assert batch(write_manifest(tmp_path, [table("a")]), "--dry-run", "--overwrite", "--allow-row-failures") == 0


def test_a_table_of_any_id_is_text_in_the_report(tmp_path: Path) -> None:
    wrong = {"status": "error", "summary": dict.fromkeys(("total", "ok", "skipped_existing", "failed"), 0)}
    tables = [{"id": "<b>|x", "output": "a<b.csv", "error": "no <i>", **wrong}]
    write_reports(batch_report("m.json", tables, allow_row_failures=False), "", str(tmp_path / "r.md"), {})
    text = (tmp_path / "r.md").read_text()
    assert "| \\<b>\\|x | error | - | - | - | - | `a<b.csv` |" in text
    assert "- \\<b>|x: no \\<i>" in text


def test_help_has_the_options_that_the_fork_has(capsys: pytest.CaptureFixture[str]) -> None:
    command("batch", "--help")
    words = capsys.readouterr().out
    for flag in ("--manifest", "--report-json", "--report-md", "--base-dir", "--fail-fast", "--allow-row-failures"):
        assert flag in words
