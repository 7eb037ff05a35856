"""Finished clips on disk: what makes a run repeatable, resumable and shareable.

One SQLite table maps a key (a hash of everything that can change a number) to a clip's statistics, from which every
aggregator's mean and variance follow: 8 frames take 496 bytes. A clip's numbers are there as soon as its frame batch
is through the model, so a killed run loses only what was under way. Every entry has a checksum of its key and its
numbers, so that a flipped bit or a page out of place is an error, never another number. Failures are kept for this run
only, because a clip that failed today may be whole tomorrow; they are in SQLite's temporary store, which bounds memory.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import orjson

from saliency_engine.errors import ClipError, MemoError
from saliency_engine.extras import Measured
from saliency_engine.pipeline.memo_entry import pack, unpack
from saliency_engine.pipeline.memo_file import cure_of_damage, explained, name_of, open_memo
from saliency_engine.types import ClipRequest, ClipStatistics, DecodeSpec

# Raised whenever a change of this code moves a number: no old entry is used from then on.
NUMERICS_VERSION = 3
_OF_A_RUN = (
    "failures (key BLOB PRIMARY KEY, status TEXT, reason TEXT) WITHOUT ROWID",
    "seen (task INTEGER, key BLOB, PRIMARY KEY (task, key)) WITHOUT ROWID",
    "lacks (key BLOB, name TEXT, reason TEXT, PRIMARY KEY (key, name)) WITHOUT ROWID",
    "fresh (key BLOB PRIMARY KEY) WITHOUT ROWID",
)
# An entry says itself what was measured, and gains what is asked for later.
_NOT_IN_KEYS = frozenset({"extra", "remote"})
_FAILURES = {kind.status: kind for kind in ClipError.__subclasses__()}


def memo_context(model_sha256: str, provider: str, spec: DecodeSpec) -> dict[str, Any]:
    """Everything besides the clip that can change a number. A new field of ``DecodeSpec`` is in it without a change."""
    sampled = asdict(spec)
    del sampled["max_pixels"], sampled["confine"]  # they only make clips fail, and failures are not kept
    if spec.hdr == "plain":
        del sampled["hdr"]  # as keys were when there was no choice
    if not spec.reuse:
        del sampled["reuse"]  # the same
    return {"model": model_sha256, "provider": provider, **sampled, **spec.sampling.identity}


class Memo:
    """The memo of one run. ``path`` ``None`` keeps it in a private temporary file that dies with the run.

    ``context`` is everything besides the clip that can change a number (JSON values). ``model_id`` is kept for people.
    Raises ``MemoError`` when the file is not a memo, is of another version, is damaged, or cannot be used.
    """

    def __init__(self, path: Path | None, context: Mapping[str, Any], model_id: str = "") -> None:
        self._path, self._model_id = path, model_id
        self._document = _to_canonical_json({**context, "numerics": NUMERICS_VERSION})
        self._context = hashlib.sha256(self._document).digest()
        self._context_id: int | None = None
        self._db = open_memo(path, _OF_A_RUN)

    def key(self, request: ClipRequest) -> bytes:
        """The clip's key under this run's context: 32 bytes."""
        # Field by field: `asdict`, which copies them deeply, took 25 µs of a plan's 110 for a clip.
        clip = {each.name: getattr(request, each.name) for each in fields(request) if each.name not in _NOT_IN_KEYS}
        clip["path"] = os.fsencode(request.path).hex()  # file names need not be text
        clip["raw"] = request.raw and asdict(request.raw)
        if request.remote and request.remote.etag:
            clip["etag"] = request.remote.etag
        if request.content or "etag" in clip:
            del clip["mtime_ns"]  # the contents say more, and a copied or touched file keeps its numbers
        return hashlib.sha256(self._context + _to_canonical_json(clip)).digest()

    def get(self, key: bytes) -> ClipStatistics | ClipError | None:
        """What is known of a clip: its statistics, or its failure in this run; ``None`` where neither is."""
        with explained(self._path):
            row = self._db.execute("SELECT statistics FROM clips WHERE key = ?", (key,)).fetchone()
            if row is not None:
                if statistics := unpack(key, row[0]):
                    lacks = self._lacks(key)
                    if not lacks:
                        return statistics
                    return replace(statistics, extras=statistics.extras | Measured(lacks=lacks))
                raise MemoError(f"{name_of(self._path)}: an entry is damaged; {cure_of_damage(self._path)}")
            row = self._db.execute("SELECT status, reason FROM failures WHERE key = ?", (key,)).fetchone()
        return None if row is None else _FAILURES[row[0]](row[1])

    def _lacks(self, key: bytes) -> dict[str, str]:
        rows = self._db.execute("SELECT name, reason FROM lacks WHERE key = ?", (key,))
        return dict(rows.fetchall())

    def first_seen(self, task: int, key: bytes) -> bool:
        """Whether the task meets the clip for the first time; remembers it on disk, not in memory."""
        with explained(self._path):
            return self._db.execute("INSERT OR IGNORE INTO seen VALUES (?, ?)", (task, key)).rowcount == 1

    def mark_fresh(self, key: bytes) -> None:
        """Note that a clip was computed in this run before any task had asked for it."""
        with explained(self._path):
            self._db.execute("INSERT OR IGNORE INTO fresh VALUES (?)", (key,))

    def claim_fresh(self, key: bytes) -> bool:
        """Whether this is the first call for a clip that ``mark_fresh`` was called for."""
        with explained(self._path):
            return self._db.execute("DELETE FROM fresh WHERE key = ?", (key,)).rowcount == 1

    def put(self, key: bytes, request: ClipRequest, statistics: ClipStatistics) -> None:
        """Remember a finished clip; durable against a kill after the next ``commit``."""
        with explained(self._path):
            if not self._db.in_transaction:
                self._db.execute("BEGIN IMMEDIATE")
            if self._context_id is None:
                self._context_id = self._find_context()
            self._db.execute(
                "INSERT OR REPLACE INTO clips VALUES (?, ?, ?)", (key, os.fsencode(request.path), pack(key, statistics))
            )
            lacks = [(key, group, reason) for group, reason in statistics.extras.lacks.items()]
            self._db.executemany("INSERT OR REPLACE INTO lacks VALUES (?, ?, ?)", lacks)
            self._db.execute(
                "INSERT OR REPLACE INTO details VALUES (?, ?, ?, ?, ?, ?)",
                (key, self._context_id, request.size, request.mtime_ns, request.content, int(time.time())),
            )

    def put_failure(self, key: bytes, error: ClipError) -> None:
        """Remember a failed clip until this memo is closed."""
        with explained(self._path):
            self._db.execute("INSERT OR REPLACE INTO failures VALUES (?, ?, ?)", (key, error.status, str(error)))

    def commit(self) -> None:
        """Make everything put so far survive a kill."""
        with explained(self._path):
            self._db.commit()

    def close(self) -> None:
        """Commit and close."""
        try:
            self.commit()
        finally:
            self._db.close()

    def _find_context(self) -> int:
        self._db.execute(
            "INSERT OR IGNORE INTO contexts (digest, model_id, document) VALUES (?, ?, ?)",
            (self._context, self._model_id, self._document),
        )
        row = self._db.execute("SELECT id FROM contexts WHERE digest = ?", (self._context,)).fetchone()
        return int(row[0])


def _to_canonical_json(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS, default=str)
