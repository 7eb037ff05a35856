"""Looking after a memo: what is in it, whether it is whole, and what can go."""

from __future__ import annotations

import hashlib
import itertools
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import orjson

from saliency_engine.errors import DecodeError, MemoError
from saliency_engine.pipeline.memo import NUMERICS_VERSION
from saliency_engine.pipeline.memo_entry import unpack
from saliency_engine.pipeline.memo_file import cure_of_damage, explained, open_memo, read_memo
from saliency_engine.storage.regular_file import open_regular
from saliency_engine.storage.urls import is_remote
from saliency_engine.types import ClipStatistics

ItemT = TypeVar("ItemT")
_EVERYTHING = (
    "FROM clips LEFT JOIN details ON details.key = clips.key LEFT JOIN contexts ON contexts.id = details.context "
)
_AT_ONCE = 1000
"""Entries of one transaction: others who write wait no longer than it takes."""


@dataclass(frozen=True, slots=True)
class Context:
    """What entries were made with."""

    model_id: str
    document: dict[str, Any]
    """All that can change a number besides the clip; see ``memo_context``. ``numerics`` is our own version."""


@dataclass(frozen=True, slots=True)
class Group:
    """The entries of one context."""

    context: Context | None
    """``None`` for entries of a program that did not note it."""
    entries: int
    first: int | None
    """When the oldest was computed, in seconds since 1970, and the newest."""
    last: int | None


@dataclass(frozen=True, slots=True)
class Entry:
    """A clip's entry."""

    key: bytes
    path: str
    statistics: ClipStatistics | None
    """``None`` where the entry is damaged."""
    context: Context | None
    """``None`` where it was not noted; so are the next four."""
    size: int | None
    mtime_ns: int | None
    content: str | None
    """The hex sha256 of the clip's bytes, empty for one that is known by its time of change."""
    computed: int | None
    """In seconds since 1970."""


def list_groups(path: Path) -> tuple[list[Group], int]:
    """The groups of entries in the memo at ``path``, and how many clips they are of. Raises ``MemoError``."""
    query = f"SELECT model_id, document, count(*), min(computed), max(computed) {_EVERYTHING}"
    with closing(read_memo(path)) as db, explained(path):
        rows = db.execute(query + "GROUP BY contexts.id ORDER BY model_id, contexts.id").fetchall()
        (clips,) = db.execute("SELECT count(DISTINCT path) FROM clips").fetchone()
    return [Group(_context_of(*row[:2]), *row[2:]) for row in rows], clips


def list_entries(path: Path) -> Iterator[Entry]:
    """The entries of the memo at ``path``, those of a context together. Raises ``MemoError``."""
    with closing(read_memo(path)) as db:
        yield from _read_entries(db, path, "ORDER BY contexts.id, clips.path, clips.key")


def list_whole_entries(path: Path) -> Iterator[tuple[Entry, ClipStatistics]]:
    """As ``list_entries``; raises ``MemoError`` at one that is damaged."""
    for entry in list_entries(path):
        if entry.statistics is None:
            raise MemoError(
                f"{path}: an entry is damaged: saliency-batch memo prune drops such entries, whose clips are computed "
                "again"
            )
        yield entry, entry.statistics


def check_structure(path: Path) -> None:
    """Raise ``MemoError`` where SQLite finds that the memo at ``path`` is damaged."""
    with closing(read_memo(path)) as db, explained(path):
        findings = [str(text) for (text,) in db.execute("PRAGMA integrity_check(3)")]
    if findings != ["ok"]:
        raise MemoError(f"{path}: {'; '.join(findings)}; {cure_of_damage(path)}")


def prune(path: Path, is_wanted: Callable[[Entry], bool], *, dry_run: bool) -> int:
    """Take away the entries of the memo at ``path`` that are damaged or not wanted; returns how many.

    With ``dry_run`` they stay. Raises ``MemoError``.
    """
    doomed = [(entry.key,) for entry in list_entries(path) if entry.statistics is None or not is_wanted(entry)]
    if doomed and not dry_run:
        with closing(open_memo(path)) as db, explained(path):
            for keys in _in_batches(doomed):
                db.execute("BEGIN IMMEDIATE")
                for table in ("clips", "details"):
                    db.executemany(f"DELETE FROM {table} WHERE key = ?", keys)
                db.execute("COMMIT")
            db.execute("VACUUM")
    return len(doomed)


def is_current(entry: Entry) -> bool:
    """Whether a run may still use the entry: its clip is there and unchanged, and so is this program's arithmetic.

    Of an entry without details only the first is known, of a remote clip only the last: no server is asked.
    """
    if entry.context is not None and entry.context.document.get("numerics") != NUMERICS_VERSION:
        return False
    if is_remote(entry.path):
        return True
    status = _stat(entry.path)
    if status is None or entry.size is None:
        return status is not None
    if status.st_size != entry.size:
        return False
    if entry.content:
        return _hash(entry.path, status.st_size, status.st_mtime_ns) == entry.content
    return status.st_mtime_ns == entry.mtime_ns


def check_that_clips_are_there(path: Path) -> None:
    """Raise ``MemoError`` where not one clip of the memo at ``path`` is there: then their disk may be away."""
    with closing(read_memo(path)) as db, explained(path):
        paths = [os.fsdecode(name) for (name,) in db.execute("SELECT DISTINCT path FROM clips")]
    if paths and not any(is_remote(path) or Path(path).exists() for path in paths):
        raise MemoError(
            f"{path}: not one of its {len(paths)} clips is there, such as {paths[0]}: is their disk away? Nothing was "
            "pruned"
        )


def _in_batches(items: Iterable[ItemT]) -> Iterator[list[ItemT]]:
    left = iter(items)
    while batch := list(itertools.islice(left, _AT_ONCE)):
        yield batch


def _read_entries(db: sqlite3.Connection, path: Path, order: str) -> Iterator[Entry]:
    columns = "clips.key, path, statistics, model_id, document, size, mtime_ns, content, computed"
    with explained(path):
        for key, name, statistics, model_id, document, *details in db.execute(f"SELECT {columns} {_EVERYTHING}{order}"):
            clip = os.fsdecode(name) if isinstance(name, bytes | str) else ""
            yield Entry(key, clip, unpack(key, statistics), _context_of(model_id, document), *details)


@lru_cache
def _context_of(model_id: str | None, document: bytes | None) -> Context | None:
    try:
        return None if document is None else Context(str(model_id), orjson.loads(document))
    except ValueError:
        return None


def _stat(path: str) -> os.stat_result | None:
    try:
        return Path(path).stat()
    except (OSError, ValueError):
        return None


@lru_cache(1 << 16)  # a clip has an entry for each model and sampling
def _hash(path: str, _size: int, _mtime_ns: int) -> str:
    try:
        with os.fdopen(open_regular(path, ""), "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except (OSError, DecodeError):
        return ""
