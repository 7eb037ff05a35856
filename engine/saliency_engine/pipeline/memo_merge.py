"""How several memos become one."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np

from saliency_engine.errors import MemoError
from saliency_engine.pipeline.memo_entry import pack, unpack
from saliency_engine.pipeline.memo_file import explained, open_memo, read_memo
from saliency_engine.pipeline.memo_upkeep import check_structure
from saliency_engine.types import ClipStatistics


def merge(path: Path, others: Sequence[Path]) -> tuple[int, int]:
    """Put the entries of the memos ``others`` into the one at ``path``, which is made where there is none.

    Returns how many were new to it, and how many are damaged and were left out. Raises ``MemoError``, also where two
    memos have other numbers for one clip. Then, and after a kill, the memo at ``path`` has what it had before: all is
    one transaction, which SQLite keeps on disk.
    """
    added = damaged = 0
    for other in others:
        check_structure(other)  # all are looked at before the first is read
    with closing(open_memo(path)) as db, explained(path):
        db.execute("BEGIN IMMEDIATE")
        for other in others:
            counts = _merge_one(db, other)
            added, damaged = added + counts[0], damaged + counts[1]
        db.execute("COMMIT")
    return added, damaged


def _merge_one(db: sqlite3.Connection, other: Path) -> tuple[int, int]:
    """Put the entries of ``other`` into ``db``; how many were new, and how many are damaged."""
    added = damaged = 0
    with closing(read_memo(other)) as source:
        contexts = _merge_contexts(db, source)
        # In the order of keys, as both files have them: each page is read and written once.
        rows = source.execute(
            "SELECT clips.key, path, statistics, context, size, mtime_ns, content, computed FROM clips "
            "LEFT JOIN details ON details.key = clips.key ORDER BY clips.key"
        )
        for key, name, stored, context, *details in rows:
            if unpack(key, stored) is None:
                damaged += 1
                continue
            entry = db.execute("INSERT OR IGNORE INTO clips VALUES (?, ?, ?)", (key, name, stored))
            added += entry.rowcount
            if not entry.rowcount:
                _merge_entry(db, key, stored, f"{other} has other numbers for the clip {os.fsdecode(name)}")
            if context in contexts:
                values = (key, contexts[context], *details)
                db.execute("INSERT OR IGNORE INTO details VALUES (?, ?, ?, ?, ?, ?)", values)
    return added, damaged


def _merge_entry(db: sqlite3.Connection, key: bytes, other: bytes, conflict: str) -> None:
    """Give the entry of ``key`` what only ``other``, the same clip's in another memo, has measured for --extra.

    Raises ``MemoError``, which begins with ``conflict``, where a number that both have is not the same.
    """
    (stored,) = db.execute("SELECT statistics FROM clips WHERE key = ?", (key,)).fetchone()
    mine, theirs = unpack(key, stored), unpack(key, other)
    if stored == other or theirs is None:
        return
    if mine and not _agree(mine, theirs):
        raise MemoError(
            f"{conflict} than the memo that it is merged into, or than one before it: they were computed by libraries "
            "or machines of two kinds. Leave one of the memos out; nothing was merged"
        )
    # A damaged entry is mended.
    both = replace(mine, extras=theirs.extras | mine.extras) if mine else theirs
    db.execute("UPDATE clips SET statistics = ? WHERE key = ?", (pack(key, both), key))


def _agree(one: ClipStatistics, other: ClipStatistics) -> bool:
    """Whether all numbers that both have are the same, bit by bit."""
    shared = one.extras.values.keys() & other.extras.values.keys()
    return (
        one.maximum == other.maximum
        and np.array_equal(one.means, other.means)
        and np.array_equal(one.motion, other.motion)
        and np.array_equal(one.gram, other.gram)
        and all(one.extras.values[name] == other.extras.values[name] for name in shared)
    )


def _merge_contexts(db: sqlite3.Connection, source: sqlite3.Connection) -> dict[int, int]:
    """The numbers of the contexts of ``source``, and those that they have in ``db``."""
    numbers = {}
    for number, *values in source.execute("SELECT id, digest, model_id, document FROM contexts").fetchall():
        db.execute("INSERT OR IGNORE INTO contexts (digest, model_id, document) VALUES (?, ?, ?)", values)
        (numbers[number],) = db.execute("SELECT id FROM contexts WHERE digest = ?", values[:1]).fetchone()
    return numbers
