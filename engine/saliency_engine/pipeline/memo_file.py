"""A memo's file: which files are memos, how they are opened, and what their faults are called."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Literal
from urllib.parse import quote

from saliency_engine.errors import MemoError

APPLICATION_ID = 0x53424D31  # "SBM1", in the file's header: never write into somebody else's database
VERSION = 4
# Used as they are, they become memos of this version. Entries of 2 do not say what the clips' signals are; programs of
# up to 3 cannot read entries with the numbers of --extra.
_OLDER_VERSIONS = {2, 3}
_MAGIC = b"SQLite format 3\0"
_LARGEST_PAGE = 65536  # bytes
_PATIENCE = 60.0  # seconds to wait for another run that is writing
_WAIT = 0.01
_TABLES = (
    "clips (key BLOB PRIMARY KEY, path BLOB, statistics BLOB) WITHOUT ROWID",
    # What memos had not from the start. Nothing that a run reads: they only tell people and `memo prune` what is what.
    "contexts (id INTEGER PRIMARY KEY, digest BLOB UNIQUE, model_id TEXT, document BLOB)",
    "details (key BLOB PRIMARY KEY, context INTEGER, size INTEGER, mtime_ns INTEGER, content TEXT, computed INTEGER) "
    "WITHOUT ROWID",
)


def open_memo(path: Path | None, temporary: Sequence[str] = ()) -> sqlite3.Connection:
    """The memo at ``path``, made with its folder where there is none; ``None`` is a private temporary file.

    ``temporary`` are tables that are gone when it is closed. Raises ``MemoError`` when the file is not a memo, is of
    another version, is damaged, or cannot be used. What is no memo is not opened for writing.
    """
    if path is not None:
        with suppress(OSError):  # SQLite says that it cannot open the file
            path.parent.mkdir(parents=True, exist_ok=True)
        if _identify(path) == "other":
            raise _refuse(path)
    with explained(path):
        # Autocommit: only what writes opens a transaction. Had a read opened one, it would see the file as it was then,
        # and the next write would fail if another run had written meanwhile. One thread at a time uses it, which the
        # pipeline sees to, but not always the same one. An absolute path, because SQLite takes ``:memory:`` and
        # ``file:x`` for something else.
        name = "" if path is None else path.absolute()
        db = sqlite3.connect(name, timeout=_PATIENCE, isolation_level=None, check_same_thread=False)
    try:
        with explained(path):
            _prepare(db, path)
            for table in temporary:
                db.execute(f"CREATE TEMP TABLE {table}")
    except MemoError:
        db.close()
        raise
    return db


def read_memo(path: Path) -> sqlite3.Connection:
    """The memo at ``path``, for reading alone. Raises ``MemoError`` as ``open_memo`` does, and where there is none."""
    if not path.is_file():
        raise MemoError(f"{path}: no such file")
    if _identify(path) != "memo":
        raise _refuse(path)
    with explained(path):
        db = _connect_for_reading(path)
    try:
        with explained(path):
            _check_version(db, path)
            # Tables that older memos lack, so that one query reads both.
            for table in _TABLES[1:]:
                name = table.split()[0]
                if not db.execute("SELECT count(*) FROM sqlite_master WHERE name = ?", (name,)).fetchone()[0]:
                    db.execute(f"CREATE TEMP TABLE {table}")
    except MemoError:
        db.close()
        raise
    return db


def _connect_for_reading(path: Path) -> sqlite3.Connection:
    name = f"file:{quote(os.fsencode(path.absolute()))}"
    # As a writer it takes the log away again that reading needs. Where nothing may be written, SQLite reads a memo
    # without a log only when it is assured that nobody else writes.
    for mode in ("rw", "ro", "ro&immutable=1"):
        db = sqlite3.connect(f"{name}?mode={mode}", uri=True, timeout=_PATIENCE, isolation_level=None)
        try:
            db.execute("SELECT count(*) FROM sqlite_master")
            return db
        except sqlite3.OperationalError as error:
            db.close()
            is_last = mode == "ro" and Path(f"{path}-wal").exists()
            if primary_code(error) not in _SHUT or is_last or mode.endswith("1"):
                raise
    raise AssertionError


def _identify(path: Path) -> Literal["memo", "empty", "other"]:
    """What the file at ``path`` is. Nothing is written to it or beside it, whatever it is."""
    head, size = b"", 0
    try:
        if path.is_file():  # whether one can be made where there is none, SQLite says
            with path.open("rb") as file:
                head, size = file.read(100), os.fstat(file.fileno()).st_size
        if not _MAGIC.startswith(head[: len(_MAGIC)]):
            return "other"
        application = int.from_bytes(head[68:72], "big")
        # A run that was killed early on leaves one page, and its mark in the log.
        if head and not application and size <= _LARGEST_PAGE:
            return _identify_copy(path)
    except OSError:
        return "empty"
    return "memo" if application == APPLICATION_ID else "other" if head else "empty"


def _identify_copy(path: Path) -> Literal["memo", "empty", "other"]:
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, "copy")
        shutil.copyfile(path, copy)
        with suppress(FileNotFoundError):
            shutil.copyfile(f"{path}-wal", f"{copy}-wal")
        try:
            with closing(sqlite3.connect(copy)) as db:
                application = read_pragma(db, "application_id")
                tables = db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        except (sqlite3.Error, UnicodeDecodeError):
            return "other"
    # A database without tables is nobody's.
    return "memo" if application == APPLICATION_ID else "other" if tables or application else "empty"


def _refuse(path: Path) -> MemoError:
    return MemoError(f"{path} is not a memo of this program, and is left as it is; choose another --memo")


def _prepare(db: sqlite3.Connection, path: Path | None) -> None:
    db.execute("BEGIN")  # all as of one moment: another run may be making the file
    names = {name for (name,) in db.execute("SELECT name FROM sqlite_master")}
    if names:
        _check_version(db, path)
    db.execute("COMMIT")
    # A write-ahead log survives kill -9 at any moment, and lets two runs share the file.
    _switch_to_wal(db)
    db.execute("PRAGMA synchronous = NORMAL")
    if not names.issuperset(table.split()[0] for table in _TABLES):
        db.execute("BEGIN IMMEDIATE")
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        db.execute(f"PRAGMA user_version = {VERSION}")
        for table in _TABLES:
            db.execute(f"CREATE TABLE IF NOT EXISTS {table}")
        db.execute("COMMIT")
    elif read_pragma(db, "user_version") != VERSION:
        db.execute(f"PRAGMA user_version = {VERSION}")


def _check_version(db: sqlite3.Connection, path: Path | None) -> None:
    application, version = read_pragma(db, "application_id"), read_pragma(db, "user_version")
    if path is not None and application != APPLICATION_ID:
        raise _refuse(path)
    if version not in {*_OLDER_VERSIONS, VERSION}:
        raise MemoError(
            f"{path} is a memo of version {version}, but this program needs version {VERSION}; "
            "delete it or choose another --memo"
        )


def _switch_to_wal(db: sqlite3.Connection) -> None:
    waits = round(_PATIENCE / _WAIT)  # counted, because time goes on while this run is suspended
    for left in reversed(range(waits)):
        try:
            db.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:  # SQLite itself does not wait for a run that is doing the same
            if primary_code(error) != sqlite3.SQLITE_BUSY or not left:
                raise
        time.sleep(_WAIT)


def read_pragma(db: sqlite3.Connection, name: str) -> int:
    """The whole number that SQLite gives for ``PRAGMA name``."""
    return int(db.execute(f"PRAGMA {name}").fetchone()[0])


def name_of(path: Path | None) -> str:
    """What messages call the memo at ``path``."""
    return "the temporary memo" if path is None else str(path)


@contextmanager
def explained(path: Path | None) -> Iterator[None]:
    """Turn what SQLite raises for the memo at ``path`` into ``MemoError`` s that say what to do."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        name = getattr(error, "sqlite_errorname", type(error).__name__)
        cure = _CURES.get(primary_code(error)) or cure_of_damage(path)
        raise MemoError(f"{name_of(path)}: {error} ({name}); {cure}") from error
    except UnicodeDecodeError as error:
        # SQLite's message quotes the damaged schema, and Python cannot read it as text.
        raise MemoError(f"{name_of(path)}: its schema is damaged; {cure_of_damage(path)}") from error


def cure_of_damage(path: Path | None) -> str:
    """What to do about a file that is damaged. Only a memo of ours is called one that may be deleted."""
    return _REPLACE if path is not None and _identify(path) == "memo" else _ELSEWHERE


def primary_code(error: sqlite3.Error) -> int:
    """SQLite's primary result code, 0 for an error that is not SQLite's own."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


_REPLACE = "delete the file, choose another --memo, or use --memo off"
_ELSEWHERE = "choose another --memo, or use --memo off"
_AGAIN = "then run the same command again: finished clips are kept"
_SHUT = (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY)
_CURES = {
    sqlite3.SQLITE_FULL: f"make room there and in the folder for temporary files, {_AGAIN}",
    sqlite3.SQLITE_IOERR: f"the disk is failing or full; mend that, {_AGAIN}",
    sqlite3.SQLITE_BUSY: "another program is using it; wait until that ends, or choose another --memo",
    **dict.fromkeys(_SHUT, _ELSEWHERE),
}
