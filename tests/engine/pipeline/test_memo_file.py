"""The memo's file: which names and folders it may have, and which files are refused."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from tests.memos import request, statistics_of

from saliency_engine.errors import MemoError
from saliency_engine.pipeline.memo import Memo
from saliency_engine.types import ClipStatistics

CONTEXT = {"model": "ab" * 32}


def test_a_memo_of_version_2_is_used_and_becomes_one_of_this_version(tmp_path: Path) -> None:
    """Its entries are those of clips whose signal is not known."""
    memo = Memo(tmp_path / "memo.sqlite", CONTEXT)
    memo.put(memo.key(request(0)), request(0), statistics_of(0))
    memo.close()
    with sqlite3.connect(tmp_path / "memo.sqlite") as db:
        db.execute("PRAGMA user_version = 2")
    db.close()
    again = Memo(tmp_path / "memo.sqlite", CONTEXT)
    assert isinstance(again.get(again.key(request(0))), ClipStatistics)
    again.close()
    with sqlite3.connect(tmp_path / "memo.sqlite") as db:
        assert db.execute("PRAGMA user_version").fetchone() == (4,)
    db.close()


@pytest.mark.parametrize("name", [":memory:", "file:x", "file:x?mode=memory", "file::memory:?cache=shared", "a%41?b#c"])
def test_a_name_that_means_something_to_sqlite_is_a_file_like_any_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    memo = Memo(Path(name), CONTEXT)
    memo.put(memo.key(request(0)), request(0), statistics_of(0))
    memo.close()
    assert [path.name for path in tmp_path.iterdir()] == [name]
    again = Memo(Path(name), CONTEXT)
    assert again.get(again.key(request(0))) is not None
    again.close()


def test_the_temporary_memo_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    memo = Memo(None, CONTEXT)
    memo.put(memo.key(request(0)), request(0), statistics_of(0))
    assert isinstance(memo.get(memo.key(request(0))), ClipStatistics)
    memo.close()
    assert list(tmp_path.iterdir()) == []


def test_somebody_elses_database_is_refused_untouched(tmp_path: Path) -> None:
    path = tmp_path / "photos.sqlite"
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE photos (id)")
    db.close()
    before = path.read_bytes()
    with pytest.raises(MemoError, match="not a memo of this program"):
        Memo(path, CONTEXT)
    assert path.read_bytes() == before


def test_another_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "memo.sqlite"
    Memo(path, CONTEXT).close()
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(MemoError, match="version 99"):
        Memo(path, CONTEXT)


@pytest.mark.parametrize("content", [b"not a database, but long enough to be taken for one" * 40])
def test_a_file_that_is_no_database_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "memo.sqlite"
    path.write_bytes(content)
    with pytest.raises(MemoError, match="choose another --memo"):
        Memo(path, CONTEXT)
    assert path.read_bytes() == content


def test_a_missing_folder_is_made_or_explained(tmp_path: Path) -> None:
    Memo(tmp_path / "no/such/memo.sqlite", CONTEXT).close()
    (tmp_path / "file").touch()
    with pytest.raises(MemoError, match=r"file/memo\.sqlite.*choose another --memo"):
        Memo(tmp_path / "file" / "memo.sqlite", CONTEXT)
