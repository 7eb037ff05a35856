"""Finished clips on disk: what makes a run repeatable, resumable and shareable.

One SQLite table maps a key (a hash of everything that can change a number) to a clip's statistics, from which every
aggregator's mean and variance follow: 8 frames take 432 bytes. A clip's numbers are there as soon as its batch is
through the model, so a killed run loses only what was under way. Failures are kept for this run only (in SQLite's
temporary store, so memory stays bounded): a clip that failed today may be whole tomorrow.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from saliency_engine.errors import MemoError
from saliency_engine.types import ClipRequest, ClipResult, ClipStatistics, Status

APPLICATION_ID = 0x53424D31  # "SBM1", in the file's header: never write into somebody else's database
VERSION = 1
# Raised whenever a change of this code moves a number: old entries are then no longer found.
NUMERICS_VERSION = 1


class Memo:
    """The memo of one run. ``path`` ``None`` keeps it in a private temporary file that dies with the run.

    ``context`` is everything beside the clip that can change a number (JSON values).
    Raises ``MemoError`` when the file is not a memo, is of another version, is damaged, or cannot be used.
    """

    def __init__(self, path: Path | None, context: Mapping[str, Any]) -> None:
        self._name = "the temporary memo" if path is None else str(path)
        self._context = hashlib.sha256(_canonical({**context, "numerics": NUMERICS_VERSION})).digest()
        with self._explained():
            # Autocommit: a transaction is opened by the first write after a commit, and no read holds a lock.
            self._db = sqlite3.connect("" if path is None else path, timeout=60.0)
        try:
            with self._explained():
                self._prepare()
        except MemoError:
            self._db.close()
            raise

    def _prepare(self) -> None:
        application, version = self._pragma("application_id"), self._pragma("user_version")
        tables = self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if tables and application != APPLICATION_ID:
            raise MemoError(f"{self._name} is a database, but not a memo of this program; choose another --memo")
        if tables and version != VERSION:
            raise MemoError(
                f"{self._name} is a memo of version {version}, this program writes version {VERSION}; "
                "delete it or choose another --memo"
            )
        # A write-ahead log survives kill -9 at any moment, and lets two runs share the file.
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        self._db.execute(f"PRAGMA user_version = {VERSION}")
        self._db.execute(
            "CREATE TABLE IF NOT EXISTS clips (key BLOB PRIMARY KEY, path BLOB, statistics BLOB) WITHOUT ROWID"
        )
        self._db.execute("CREATE TEMP TABLE failures (key BLOB PRIMARY KEY, status TEXT, reason TEXT) WITHOUT ROWID")
        self._db.execute("CREATE TEMP TABLE seen (key BLOB PRIMARY KEY) WITHOUT ROWID")
        self._db.commit()

    def _pragma(self, name: str) -> int:
        return int(self._db.execute(f"PRAGMA {name}").fetchone()[0])

    def key(self, request: ClipRequest) -> bytes:
        """The clip's key under this run's context: 32 bytes."""
        clip = {**asdict(request), "path": os.fsencode(request.path).hex()}  # file names need not be text
        return hashlib.sha256(self._context + _canonical(clip)).digest()

    def get(self, key: bytes) -> ClipStatistics | ClipResult | None:
        """What is known of a clip: its statistics, its failure in this run, or nothing."""
        with self._explained():
            row = self._db.execute("SELECT statistics FROM clips WHERE key = ?", (key,)).fetchone()
            if row is not None:
                return _decode(row[0], self._name)
            row = self._db.execute("SELECT status, reason FROM failures WHERE key = ?", (key,)).fetchone()
        return None if row is None else ClipResult(Status(row[0]), reason=row[1])

    def first_seen(self, key: bytes) -> bool:
        """Whether this run meets the clip for the first time; remembers it on disk, not in memory."""
        with self._explained():
            return self._db.execute("INSERT OR IGNORE INTO seen VALUES (?)", (key,)).rowcount == 1

    def put(self, key: bytes, path: str, statistics: ClipStatistics) -> None:
        """Remember a finished clip; durable against a kill after the next ``commit``."""
        with self._explained():
            self._db.execute(
                "INSERT OR REPLACE INTO clips VALUES (?, ?, ?)", (key, os.fsencode(path), _encode(statistics))
            )

    def put_failure(self, key: bytes, failure: ClipResult) -> None:
        """Remember a failed clip until this memo is closed."""
        with self._explained():
            self._db.execute("INSERT OR REPLACE INTO failures VALUES (?, ?, ?)", (key, failure.status, failure.reason))

    def commit(self) -> None:
        """Make everything put so far survive a kill."""
        with self._explained():
            self._db.commit()

    def close(self) -> None:
        """Commit and close."""
        with self._explained():
            self._db.commit()
            self._db.close()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            raise MemoError(f"{self._name}: {error}; delete it, choose another --memo, or use --memo off") from error


def _canonical(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS, default=str)


def _encode(statistics: ClipStatistics) -> bytes:
    """float64, little-endian: means [K], motion [K], maximum [2], the Gram matrix's lower triangle."""
    triangle = statistics.gram[np.tril_indices(len(statistics.means))]
    parts = (statistics.means, statistics.motion, np.array(statistics.maximum), triangle)
    return np.concatenate(parts).astype("<f8").tobytes()


def _decode(blob: bytes, name: str) -> ClipStatistics:
    values = np.frombuffer(blob, "<f8").astype(np.float64) if len(blob) % 8 == 0 else np.empty(0)
    # length = 2K + 2 + K(K + 1)/2
    frames = round((np.sqrt(25 + 8 * (len(values) - 2)) - 5) / 2) if len(values) > 2 else 0
    if frames < 1 or 2 * frames + 2 + frames * (frames + 1) // 2 != len(values) or not np.isfinite(values).all():
        raise MemoError(f"{name}: an entry is damaged; delete the file, choose another --memo, or use --memo off")
    gram = np.empty((frames, frames))
    lower = np.tril_indices(frames)
    gram[lower] = values[2 * frames + 2 :]
    gram.T[lower] = values[2 * frames + 2 :]
    maximum = (float(values[2 * frames]), float(values[2 * frames + 1]))
    return ClipStatistics(values[:frames], values[frames : 2 * frames], gram, maximum)
