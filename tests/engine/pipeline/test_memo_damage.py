"""Files of a memo that are cut, lost or flipped: an error, or an entry that is not found, and never other numbers."""

from __future__ import annotations

import random
import sqlite3
from pathlib import Path

import pytest
from tests.memos import ENTRIES, Files, cuts, flipped, memo_of_a_killed_run, request, statistics_of, survey, whole_memo

from saliency_engine.errors import MemoError
from saliency_engine.pipeline.memo import Memo
from saliency_engine.pipeline.memo_entry import encode


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return whole_memo(tmp_path_factory.mktemp("closed"))


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return memo_of_a_killed_run(tmp_path_factory.mktemp("killed"))


def test_what_a_killed_run_left_is_found(tmp_path: Path, killed: Files) -> None:
    assert survey(tmp_path, killed) == (ENTRIES, "")


def test_a_memo_cut_anywhere_is_refused_or_made_anew(tmp_path: Path, closed: Files) -> None:
    content = closed["memo"]
    for length in cuts(content):
        entries, message = survey(tmp_path, {"memo": content[:length]})
        assert entries < ENTRIES
        if length % 4096 == 0:  # whole pages are missing; what is missing of a page reads as entries that are not there
            assert bool(message) == (length > 0)


def test_a_log_cut_anywhere_loses_its_end(tmp_path: Path, killed: Files) -> None:
    content = killed["memo-wal"]
    for length in cuts(content):
        entries, message = survey(tmp_path, {**killed, "memo-wal": content[:length]})
        assert ENTRIES // 2 <= entries < ENTRIES
        assert not message


def test_an_index_cut_anywhere_is_made_anew(tmp_path: Path, killed: Files) -> None:
    content = killed["memo-shm"]
    for length in cuts(content):
        assert survey(tmp_path, {**killed, "memo-shm": content[:length]}) == (ENTRIES, "")


def test_a_lost_log_loses_what_was_in_it(tmp_path: Path, killed: Files) -> None:
    assert survey(tmp_path, {"memo": killed["memo"]}) == (ENTRIES // 2, "")
    assert survey(tmp_path, {"memo": killed["memo"], "memo-wal": killed["memo-wal"]}) == (ENTRIES, "")


def test_flipped_bits_give_no_wrong_numbers(tmp_path: Path, closed: Files, killed: Files) -> None:
    generator = random.Random(3)
    refused = sum(bool(survey(tmp_path, flipped(closed, "memo", generator))[1]) for _ in range(80))
    assert refused > 20
    for _ in range(20):  # the log has checksums of its own: what comes after the damage is lost
        entries, message = survey(tmp_path, flipped(killed, "memo-wal", generator))
        assert not message
        assert ENTRIES // 2 <= entries <= ENTRIES


def test_a_damaged_schema_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "memo.sqlite"
    Memo(path, {}).close()
    content = path.read_bytes()
    # SQLite quotes the name of what it cannot parse, byte for byte.
    path.write_bytes(content.replace(b"tableclips", b"tablecl\xf0ps").replace(b"WITHOUT", b"WITHxUT"))
    with pytest.raises(MemoError, match="schema is damaged; delete the file"):
        Memo(path, {})


@pytest.mark.parametrize("damaged", ["substr(statistics, 1, 100)", "7", "NULL"])
def test_a_damaged_entry_is_refused(tmp_path: Path, damaged: str) -> None:
    memo = Memo(tmp_path / "memo.sqlite", {})
    memo.put(memo.key(request(7)), request(7), statistics_of(7))
    memo.close()
    with sqlite3.connect(tmp_path / "memo.sqlite") as db:
        db.execute(f"UPDATE clips SET statistics = {damaged}")
    db.close()
    memo = Memo(tmp_path / "memo.sqlite", {})
    with pytest.raises(MemoError, match="damaged"):
        memo.get(memo.key(request(7)))
    memo.close()


def test_a_flipped_bit_in_the_numbers_is_told(tmp_path: Path) -> None:
    path = tmp_path / "memo"
    memo = Memo(path, {})
    memo.put(memo.key(request(7)), request(7), statistics_of(7))
    memo.close()
    content = bytearray(path.read_bytes())
    at = content.index(encode(statistics_of(7)))
    content[at + 7] ^= 1
    path.write_bytes(content)
    memo = Memo(path, {})
    with pytest.raises(MemoError, match="an entry is damaged"):
        memo.get(memo.key(request(7)))
    memo.close()
