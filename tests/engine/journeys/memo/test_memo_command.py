"""``saliency-batch memo``: show, check, prune, export and merge."""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from tests.engine.journeys.memo.runs import MODEL, clips_of, memo
from tests.memos import ENTRIES, memo_of_a_killed_run, request, statistics_of
from tests.rows import read_rows, write_clips

from saliency_engine.config import MEMO_NAME
from saliency_engine.errors import ConfigError, MemoError
from saliency_engine.pipeline.memo import Memo


def test_show_tells_models_and_samplings(here: Path, mini: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clips_of("out.jsonl")
    clips_of("short.jsonl", frame_samples=4, accept_short=True)
    clips_of("other.jsonl", model="", model_path=str(mini), sampling="uniform")
    capsys.readouterr()
    memo("show", ".")
    words = capsys.readouterr().out
    assert words.startswith(f"{MEMO_NAME}: 0.0 MB, 12 entries of 4 clips\n")
    lines = [line.split("│") for line in words.splitlines() if "│" in line]
    shown = [[cell.strip() for cell in line[1:5]] for line in lines]
    assert sorted((model.split()[0], sampling, entries) for model, _, sampling, entries in shown) == [
        (MODEL, "head:4/8@320x320, short clips accepted", "4"),
        (MODEL, "head:8@320x320", "4"),
        ("mini", read_rows(here / "other.jsonl")[0]["saliency_sampling"], "4"),
    ]


def test_prune_drops_what_no_run_can_use(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clips_of("out.jsonl")
    clips_of("verified.jsonl", verify_clips=True)
    (here / "96.mp4").unlink()
    shutil.copy(here / "120.mp4", here / "104.mp4")  # another size and time
    os.utime(here / "112.mp4", ns=(1, 1))  # known again by its contents alone
    memo("prune", ".", "--dry-run")
    assert capsys.readouterr().out == f"{MEMO_NAME}: 5 entries would be dropped\n"
    memo("prune", ".")
    assert capsys.readouterr().out == f"{MEMO_NAME}: 5 entries dropped\n"
    memo("prune", ".")
    assert capsys.readouterr().out == f"{MEMO_NAME}: 0 entries dropped\n"
    write_clips(here / "in.jsonl", ["104.mp4", "112.mp4", "120.mp4"])
    assert clips_of("again.jsonl") == (2, 1)
    assert clips_of("again.jsonl", verify_clips=True, overwrite=True) == (1, 2)


@pytest.mark.usefixtures("here")
def test_prune_drops_models_and_what_is_old(mini: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clips_of("out.jsonl")
    clips_of("other.jsonl", model="", model_path=str(mini))
    capsys.readouterr()
    memo("prune", ".", "--older-than", "1")
    memo("prune", ".", "--model", "mini", "--older-than", "1")
    memo("prune", ".", "--model", "mini")
    with closing(sqlite3.connect(MEMO_NAME)) as db, db:
        db.execute("UPDATE details SET computed = computed - 2 * 86400")
    memo("prune", ".", "--older-than", "1.5")
    assert [line.split()[1] for line in capsys.readouterr().out.splitlines()] == ["0", "0", "4", "4"]


def test_prune_drops_nothing_while_the_disk_is_away(here: Path) -> None:
    clips_of("out.jsonl")
    (here / "elsewhere").mkdir()
    for clip in here.glob("*.mp4"):
        clip.rename(here / "elsewhere" / clip.name)
    with pytest.raises(MemoError, match="not one of its 4 clips is there"):
        memo("prune", ".")
    for clip in (here / "elsewhere").iterdir():
        clip.rename(here / clip.name)
    assert clips_of("again.jsonl") == (0, 4)


def test_export_has_the_numbers_of_the_rows(here: Path) -> None:
    clips_of("mean.jsonl")
    clips_of("max.jsonl", temporal_aggregator="max")
    memo("export", MEMO_NAME, "-o", "memo.parquet")
    memo("export", MEMO_NAME, "-o", "memo.jsonl")
    table = pq.read_table("memo.parquet").to_pylist()
    assert table == read_rows(here / "memo.jsonl")
    mean, most = ({row["src"]: row for row in read_rows(here / name)} for name in ("mean.jsonl", "max.jsonl"))
    assert {Path(row["src"]).name for row in table} == mean.keys()
    for row in table:
        name = Path(row["src"]).name
        assert row["saliency_mean"] == mean[name]["saliency_mean"]
        assert row["saliency_var"] == mean[name]["saliency_var"]
        assert (row["max_mean"], row["max_var"]) == (most[name]["saliency_mean"], most[name]["saliency_var"])
        assert row["sampling"] == mean[name]["saliency_sampling"]
        assert (row["transfer"], row["bit_depth"]) == ("sdr", 8)
        assert row["file_bytes"] == (here / name).stat().st_size
        assert row["frames"] == len(row["frame_means"]) == len(row["motion"]) == len(row["gram"]) == 8
    before = Path(MEMO_NAME).read_bytes()
    with pytest.raises(ConfigError, match="would overwrite MEMO"):
        memo("export", MEMO_NAME, "-o", MEMO_NAME)
    assert Path(MEMO_NAME).read_bytes() == before


@pytest.mark.usefixtures("here")
def test_several_memos_become_one_and_damage_stays_out(capsys: pytest.CaptureFixture[str]) -> None:
    clips_of("a.jsonl", memo="a.sqlite")
    clips_of("b.jsonl", memo="b.sqlite", frame_samples=4)
    with closing(sqlite3.connect("b.sqlite")) as db, db:
        db.execute("UPDATE clips SET statistics = zeroblob(440) WHERE key = (SELECT min(key) FROM clips)")
    capsys.readouterr()
    memo("check", "a.sqlite")
    memo("check", "b.sqlite", code=1)
    memo("merge", ".", "a.sqlite", "b.sqlite", code=1)
    memo("merge", ".", "a.sqlite")
    assert capsys.readouterr().out.splitlines() == [
        "a.sqlite: 4 entries, 0 damaged",
        "b.sqlite: 4 entries, 1 damaged; saliency-batch memo prune drops them",
        f"{MEMO_NAME}: 7 entries are new; 1 are damaged and were left out",
        f"{MEMO_NAME}: 0 entries are new; 0 are damaged and were left out",
    ]
    assert clips_of("c.jsonl") == (0, 4)
    assert clips_of("d.jsonl", frame_samples=4) == (1, 3)
    with pytest.raises(MemoError, match="memo prune drops such entries"):
        memo("export", "b.sqlite", "-o", "b.csv")
    memo("prune", "b.sqlite")
    memo("check", "b.sqlite")
    with pytest.raises(ConfigError, match="would overwrite OTHER"):
        memo("merge", ".", MEMO_NAME)


def test_a_memo_of_before_is_read_and_completed(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Memos had no notes of model and sampling at first."""
    clips_of("a.jsonl")
    with closing(sqlite3.connect(MEMO_NAME)) as db, db:
        db.execute("DROP TABLE details")
        db.execute("DROP TABLE contexts")
    shutil.copy(MEMO_NAME, "old.sqlite")
    capsys.readouterr()
    memo("show", "old.sqlite")
    assert "not noted" in capsys.readouterr().out
    memo("merge", "new.sqlite", "old.sqlite")
    (here / "96.mp4").unlink()
    memo("prune", "old.sqlite")
    memo("prune", "old.sqlite", "--model", MODEL)
    assert "1 entries dropped" in capsys.readouterr().out
    write_clips(here / "in.jsonl", ["104.mp4", "112.mp4", "120.mp4"])
    for name in (MEMO_NAME, "new.sqlite", "old.sqlite"):
        assert clips_of("b.jsonl", memo=name, overwrite=True) == (0, 3)
    assert clips_of("b.jsonl", frame_samples=4, overwrite=True) == (3, 0)


def test_what_a_killed_run_left_is_a_memo(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Also of a run that was killed so early that the file's mark is in the log alone."""
    files = memo_of_a_killed_run(tmp_path)
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    early = Memo(tmp_path / "early", {})
    early.put(early.key(request(0)), request(0), statistics_of(0))
    early.commit()
    (tmp_path / "killed").mkdir()
    for path in tmp_path.glob("early*"):
        shutil.copy(path, tmp_path / "killed")
    early.close()
    memo("check", str(tmp_path / "memo"))
    memo("check", str(tmp_path / "killed" / "early"))
    words = capsys.readouterr().out
    assert f"memo: {ENTRIES} entries, 0 damaged" in words
    assert "early: 1 entries, 0 damaged" in words


@pytest.mark.parametrize("kind", ["text", "database", "logged database", "numbered database"])
@pytest.mark.parametrize("arguments", ["show x", "check x", "prune x", "export x -o y.jsonl", "merge x m", "merge y x"])
def test_what_is_no_memo_is_refused_and_stays(here: Path, kind: str, arguments: str) -> None:
    Memo(here / "m", {}).close()
    content = b"SQLite is not what this is. " * 99
    with closing(sqlite3.connect("photos")) as db:
        if kind.endswith("database"):
            db.execute("CREATE TABLE photos (id)")
            db.execute("PRAGMA application_id = 7" if kind == "numbered database" else "SELECT 1")
            db.commit()
            content = (here / "photos").read_bytes()
        if kind == "logged database":
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("INSERT INTO photos VALUES (1)")
            db.commit()
            content = (here / "photos").read_bytes()
            shutil.copy("photos-wal", "x-wal")
        (here / "x").write_bytes(content)
    before = {path.name: path.read_bytes() for path in here.glob("x*")}
    with pytest.raises(MemoError, match=r"x is not a memo of this program, and is left as it is") as caught:
        memo(*arguments.split())
    assert "delete" not in str(caught.value)
    with pytest.raises(MemoError, match="is not a memo of this program"):
        clips_of("out.jsonl", memo="x")
    assert {path.name: path.read_bytes() for path in here.glob("x*")} == before


@pytest.mark.parametrize("arguments", ["show x", "check x", "prune x", "export x -o y.jsonl", "merge y x"])
def test_a_memo_that_is_not_there_is_not_made(here: Path, arguments: str) -> None:
    with pytest.raises(MemoError, match="x: no such file"):
        memo(*arguments.split())
    assert not list(here.glob("x*"))
