"""``run --shard``: machines that know nothing of one another, whose memos become one, and the table of that."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from tests.clips import Encode
from tests.engine.conftest import command
from tests.in_process import stderr_of
from tests.processes import finished_clips, start, until
from tests.rows import write_rows

from saliency_engine.config import RunConfig
from saliency_engine.errors import ConfigError, InputError
from saliency_engine.jobs.run import run_table
from saliency_engine.table_job import TableJob

MODEL = "frequency_tuned_v1"
CLIPS, SHARDS = 12, 3


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encode: Encode) -> Path:
    """The current folder, with clips, one of which is missing, in a table that names each twice, in two spellings."""
    monkeypatch.chdir(tmp_path)
    made = encode("clip.mp4", size=(96, 96), frames=9)
    names = [f"{number}.mp4" for number in range(CLIPS)]
    for name in names[1:]:
        shutil.copy(made, name)
    write_rows(tmp_path / "in.jsonl", [{"src": name} for name in [*names, *(f"./x/../{name}" for name in names)]])
    return tmp_path


def _fill(shard: str, memo: str, *, config: dict[str, Any] | None = None, **job: Any) -> dict[str, Any]:
    """The audit of a shard, computed in this process."""
    options = RunConfig(**{"model": MODEL, "decode_workers": 1, "memo": memo, **(config or {})})
    return run_table(TableJob(**{"input": "in.jsonl", "shard": shard, "quiet": True, **job}), options)


def _write(output: str, memo: str, **options: Any) -> tuple[int, int]:
    """Write the table; how many clips were computed for it, and how many the memo knew."""
    config = RunConfig(model=MODEL, decode_workers=1, memo=memo, **options)
    clips = run_table(TableJob(input="in.jsonl", output=output, quiet=True), config)["clips"]
    return clips["computed"], clips["reused"]


def _merge(*memos: str) -> None:
    with pytest.raises(SystemExit) as end:
        command("memo", "merge", *memos)
    assert end.value.code == 0


def test_shards_one_of_them_killed_and_merged_give_the_table_of_one_run(here: Path) -> None:
    """``make torture`` does so with 16 processes that are killed at random."""
    killed = start("in.jsonl", "--shard", f"1/{SHARDS}", "--memo", "memo-1", "--model", MODEL, "--batch-size", "8")
    until(lambda: bool(finished_clips(Path("memo-1"))), "nothing is finished")
    killed.kill()
    killed.communicate()
    before = len(finished_clips(Path("memo-1")))
    audits = [_fill(f"{shard}/{SHARDS}", f"memo-{shard}", audit_json=f"{shard}.json") for shard in (1, 2, 3)]
    _merge("all.sqlite", "memo-1", "memo-2", "memo-3")
    assert _write("merged.jsonl", "all.sqlite") == (0, CLIPS - 1)
    assert _write("alone.jsonl", "off") == (CLIPS - 1, 0)
    assert Path("merged.jsonl").read_bytes() == Path("alone.jsonl").read_bytes()
    clips = [audit["clips"] for audit in audits]
    assert (clips[0]["reused"], sum(one["computed"] for one in clips)) == (before, CLIPS - 1 - before)
    rows = [audit["summary"] for audit in audits]
    assert (sum(one["total"] for one in rows), sum(one["failed"] for one in rows)) == (2 * CLIPS, 2)
    written = json.loads(Path("1.json").read_text())
    assert (written["summary"], written["config"]["shard"]) == (audits[0]["summary"], "1/3")
    assert {path.suffix for path in here.iterdir()} == {".mp4", ".jsonl", ".json", ".sqlite", ""}


def test_a_share_without_clips_has_a_memo_all_the_same(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_rows(here / "in.jsonl", [{"src": "1.mp4"}])
    totals = [_fill(f"{shard}/2", f"memo-{shard}", quiet=False)["summary"]["total"] for shard in (1, 2)]
    assert sorted(totals) == [0, 1]
    messages = capsys.readouterr().err
    assert "saliency-batch: total=0 ok=0" in messages
    assert "memo        memo-2 (" in messages
    assert not any(word in messages for word in ("warning", "output"))
    _merge("all", "memo-1", "memo-2")
    assert _write("out.jsonl", "all") == (0, 1)


@pytest.mark.usefixtures("here")
def test_all_models_and_aggregators_of_a_shard_are_in_its_memo(models: Path) -> None:
    names = ["--model", MODEL, "--model", str(models / "saliency_student_v2.onnx"), "--model-size", "64x64"]
    with pytest.raises(SystemExit):  # the missing clip's rows
        command("run", "in.jsonl", "--shard", "1/1", "--memo", "m", *names, "--temporal-aggregator", "mean", "max")
    assert len(finished_clips(Path("m"))) == 2 * (CLIPS - 1)
    assert _write("out.jsonl", "m", model_size="64x64", temporal_aggregator="max") == (0, CLIPS - 1)


def test_lines_that_are_no_rows_are_left_to_the_run_that_writes_the_table(here: Path) -> None:
    (here / "in.jsonl").write_text('{"src": "1.mp4"}\nno row\n{"src": "1.mp4"}\n')
    summary = _fill("1/1", "memo")["summary"]
    assert (summary["total"], summary["rejected"]) == (2, 0)


@pytest.mark.usefixtures("here")
def test_too_many_failures_stop_a_shard_by_its_own_rows() -> None:
    """Two rows of 24 are missing, 8%."""
    with pytest.raises(InputError, match="2 rows failed, more than --max-failures 8% allows"):
        _fill("1/1", "memo", max_failures="8%")
    _fill("1/1", "memo", max_failures="9%")


@pytest.mark.parametrize("shard", ["0/4", "5/4", "4", "1/0", "-1/4", "1/ 4", "a/b", "1/4/4", "1.0/4", "٣/٤"])
def test_what_is_no_shard_is_refused(shard: str) -> None:
    with pytest.raises(ConfigError, match="write it as I/N, such as 3/16 for the third of 16"):
        _fill(shard, "memo")


@pytest.mark.parametrize(
    "option", [{"output": "o.jsonl"}, {"rejects": "r.jsonl"}, {"series": "s.parquet"}, {"maps": "maps"}]
)
def test_a_shard_writes_no_table(here: Path, option: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"--{next(iter(option))} .*: --shard 1/2 writes nothing but the memo"):
        _fill("1/2", "memo", **option)
    assert not (here / "memo").exists()


@pytest.mark.parametrize("memo", ["", "off"])
def test_a_shard_needs_a_memo(memo: str) -> None:
    with pytest.raises(ConfigError, match="name its file with --memo"):
        _fill("1/2", memo)


def test_a_batch_has_no_shards(here: Path) -> None:
    table = {"id": "a", "input": "in.jsonl", "output": "out.jsonl", "shard": "1/2"}
    (here / "batch.json").write_text(json.dumps({"tables": [table]}))
    assert "unknown option 'shard'" in stderr_of("batch", "batch.json", code=2)
