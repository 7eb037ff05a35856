"""Finished clips on disk: what makes a run repeatable, resumable and shareable.

One SQLite table maps a key (a hash of everything that can change a number) to a clip's statistics, from which every
aggregator's mean and variance follow: 8 frames take 432 bytes. A clip's numbers are there as soon as its frame batch
is through the model, so a killed run loses only what was under way. Every entry has a checksum of its key and its
numbers, so that a flipped bit or a page out of place is an error, never another number. Failures are kept for this run
only, because a clip that failed today may be whole tomorrow; they are in SQLite's temporary store, which bounds memory.
"""

from __future__ import annotations

import hashlib
import os
import re
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from saliency_engine.errors import MemoError
from saliency_engine.types import ClipRequest, ClipResult, ClipStatistics, DecodeSpec, Signal, Status

APPLICATION_ID = 0x53424D31  # "SBM1", in the file's header: never write into somebody else's database
VERSION = 3
_OLDER_VERSION = 2  # its entries do not say what the clips' signals are; used as it is, it becomes one of this version
# Raised whenever a change of this code moves a number: no old entry is used from then on.
NUMERICS_VERSION = 3
_CHECKSUM = 8  # bytes
_PATIENCE = 60.0  # seconds to wait for another run that is writing
_WAIT = 0.01


def memo_context(model_sha256: str, provider: str, spec: DecodeSpec) -> dict[str, Any]:
    """Everything besides the clip that can change a number. A new field of ``DecodeSpec`` is in it without a change."""
    sampled = asdict(spec)
    del sampled["max_pixels"], sampled["confine"]  # they only make clips fail, and failures are not kept
    if spec.hdr == "plain":
        del sampled["hdr"]  # as keys were when there was no choice
    return {"model": model_sha256, "provider": provider, **sampled, **spec.sampling.identity}


class Memo:
    """The memo of one run. ``path`` ``None`` keeps it in a private temporary file that dies with the run.

    ``context`` is everything besides the clip that can change a number (JSON values).
    Raises ``MemoError`` when the file is not a memo, is of another version, is damaged, or cannot be used.
    """

    def __init__(self, path: Path | None, context: Mapping[str, Any]) -> None:
        self._name = "the temporary memo" if path is None else str(path)
        self._context = hashlib.sha256(_to_canonical_json({**context, "numerics": NUMERICS_VERSION})).digest()
        if path is not None:
            with suppress(OSError):  # SQLite says that it cannot open the file
                path.parent.mkdir(parents=True, exist_ok=True)
        with self._explain_errors():
            # Autocommit: only ``put`` opens a transaction. Had a read opened one, it would see the file as it was then,
            # and the next write would fail if another run had written meanwhile.
            # An absolute path, because SQLite takes ``:memory:`` and ``file:x`` for something else.
            name = "" if path is None else path.absolute()
            # One thread at a time, which the pipeline sees to, but not always the same one.
            self._db = sqlite3.connect(name, timeout=_PATIENCE, isolation_level=None, check_same_thread=False)
        try:
            with self._explain_errors():
                self._prepare()
        except MemoError:
            self._db.close()
            raise

    def _prepare(self) -> None:
        self._db.execute("BEGIN")  # all three as of one moment: another run may be making the file
        application, version = self._read_pragma("application_id"), self._read_pragma("user_version")
        tables = self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        self._db.execute("COMMIT")
        if tables and application != APPLICATION_ID:
            raise MemoError(f"{self._name} is a database, but not a memo of this program; choose another --memo")
        if tables and version not in {_OLDER_VERSION, VERSION}:
            raise MemoError(
                f"{self._name} is a memo of version {version}, but this program needs version {VERSION}; "
                "delete it or choose another --memo"
            )
        # A write-ahead log survives kill -9 at any moment, and lets two runs share the file.
        self._switch_to_wal()
        self._db.execute("PRAGMA synchronous = NORMAL")
        if not tables:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            self._db.execute(f"PRAGMA user_version = {VERSION}")
            self._db.execute(
                "CREATE TABLE IF NOT EXISTS clips (key BLOB PRIMARY KEY, path BLOB, statistics BLOB) WITHOUT ROWID"
            )
            self._db.execute("COMMIT")
        elif version != VERSION:
            self._db.execute(f"PRAGMA user_version = {VERSION}")
        self._db.execute("CREATE TEMP TABLE failures (key BLOB PRIMARY KEY, status TEXT, reason TEXT) WITHOUT ROWID")
        self._db.execute("CREATE TEMP TABLE seen (key BLOB PRIMARY KEY) WITHOUT ROWID")

    def _switch_to_wal(self) -> None:
        waits = round(_PATIENCE / _WAIT)  # counted, because time goes on while this run is suspended
        for left in reversed(range(waits)):
            try:
                self._db.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError as error:  # SQLite itself does not wait for a run that is doing the same
                if _primary_code(error) != sqlite3.SQLITE_BUSY or not left:
                    raise
            time.sleep(_WAIT)

    def _read_pragma(self, name: str) -> int:
        return int(self._db.execute(f"PRAGMA {name}").fetchone()[0])

    def key(self, request: ClipRequest) -> bytes:
        """The clip's key under this run's context: 32 bytes."""
        clip = {**asdict(request), "path": os.fsencode(request.path).hex()}  # file names need not be text
        if request.content:
            del clip["mtime_ns"]  # the contents say more, and a copied or touched file keeps its numbers
        return hashlib.sha256(self._context + _to_canonical_json(clip)).digest()

    def get(self, key: bytes) -> ClipStatistics | ClipResult | None:
        """What is known of a clip: its statistics, or its failure in this run; ``None`` where neither is."""
        with self._explain_errors():
            row = self._db.execute("SELECT statistics FROM clips WHERE key = ?", (key,)).fetchone()
            if row is not None:
                return self._decode(key, row[0])
            row = self._db.execute("SELECT status, reason FROM failures WHERE key = ?", (key,)).fetchone()
        return None if row is None else ClipResult(Status(row[0]), reason=row[1])

    def first_seen(self, key: bytes) -> bool:
        """Whether this run meets the clip for the first time; remembers it on disk, not in memory."""
        with self._explain_errors():
            return self._db.execute("INSERT OR IGNORE INTO seen VALUES (?)", (key,)).rowcount == 1

    def put(self, key: bytes, path: str, statistics: ClipStatistics) -> None:
        """Remember a finished clip; durable against a kill after the next ``commit``."""
        entry = _encode(statistics)
        with self._explain_errors():
            if not self._db.in_transaction:
                self._db.execute("BEGIN IMMEDIATE")
            self._db.execute(
                "INSERT OR REPLACE INTO clips VALUES (?, ?, ?)", (key, os.fsencode(path), _checksum(key, entry) + entry)
            )

    def put_failure(self, key: bytes, failure: ClipResult) -> None:
        """Remember a failed clip until this memo is closed."""
        with self._explain_errors():
            self._db.execute("INSERT OR REPLACE INTO failures VALUES (?, ?, ?)", (key, failure.status, failure.reason))

    def commit(self) -> None:
        """Make everything put so far survive a kill."""
        with self._explain_errors():
            self._db.commit()

    def close(self) -> None:
        """Commit and close."""
        try:
            self.commit()
        finally:
            self._db.close()

    def _decode(self, key: bytes, stored: Any) -> ClipStatistics:
        # Where the bits that give its type are damaged, it may be of any SQLite type.
        checksum, entry = (stored[:_CHECKSUM], stored[_CHECKSUM:]) if isinstance(stored, bytes) else (b"", b"")
        if checksum != _checksum(key, entry):
            raise MemoError(f"{self._name}: an entry is damaged; {_REPLACE}")
        return _decode(entry)

    @contextmanager
    def _explain_errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            name = getattr(error, "sqlite_errorname", type(error).__name__)
            raise MemoError(f"{self._name}: {error} ({name}); {_CURES.get(_primary_code(error), _REPLACE)}") from error
        except UnicodeDecodeError as error:
            # SQLite's message quotes the damaged schema, and Python cannot read it as text.
            raise MemoError(f"{self._name}: its schema is damaged; {_REPLACE}") from error


_REPLACE = "delete the file, choose another --memo, or use --memo off"
_ELSEWHERE = "choose another --memo, or use --memo off"
_AGAIN = "then run the same command again: finished clips are kept"
_CURES = {
    sqlite3.SQLITE_FULL: f"make room there and in the folder for temporary files, {_AGAIN}",
    sqlite3.SQLITE_IOERR: f"the disk is failing or full; mend that, {_AGAIN}",
    sqlite3.SQLITE_BUSY: "another program is using it; wait until that ends, or choose another --memo",
    sqlite3.SQLITE_READONLY: _ELSEWHERE,
    sqlite3.SQLITE_CANTOPEN: _ELSEWHERE,
}


def _primary_code(error: sqlite3.Error) -> int:
    """SQLite's primary result code, 0 for an error that is not SQLite's own."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _to_canonical_json(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS, default=str)


def _checksum(key: bytes, entry: bytes) -> bytes:
    return hashlib.blake2b(key + entry, digest_size=_CHECKSUM).digest()


def _encode(statistics: ClipStatistics) -> bytes:
    """float64, little-endian: means [K], motion [K], maximum [2], the Gram matrix's lower triangle.

    Behind them a text such as ``hlg10``, the signal: shorter than a float64, which shows where it begins.
    """
    triangle = statistics.gram[np.tril_indices(len(statistics.means))]
    parts = (statistics.means, statistics.motion, np.array(statistics.maximum), triangle)
    signal = statistics.signal
    text = f"{signal.transfer}{signal.depth}" if signal else ""
    return np.concatenate(parts).astype("<f8").tobytes() + text.encode()


def _decode(entry: bytes) -> ClipStatistics:
    end = len(entry) // 8 * 8
    text = re.fullmatch(r"([a-z]+)(\d+)", entry[end:].decode())
    values = np.frombuffer(entry[:end], "<f8").astype(np.float64)
    frames = round((np.sqrt(25 + 8 * (len(values) - 2)) - 5) / 2)  # length = 2K + 2 + K(K + 1)/2
    gram = np.empty((frames, frames))
    lower = np.tril_indices(frames)
    gram[lower] = values[2 * frames + 2 :]
    gram.T[lower] = values[2 * frames + 2 :]
    maximum = (float(values[2 * frames]), float(values[2 * frames + 1]))
    signal = Signal(text[1], int(text[2])) if text else None
    return ClipStatistics(values[:frames], values[frames : 2 * frames], gram, maximum, signal)
