"""JSON lines: rows read one line each, and the lines that are no rows."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, BinaryIO, Literal, Protocol

import orjson

from saliency_engine.errors import InputError

CHUNK_BYTES = 1 << 18  # four times as much falls out of the cache: a fifth slower beside a busy neighbour
CHUNK_ROWS = 8192
LINE_BYTES = 1 << 24
"""Longer lines are rejected: parsing 16 MiB of JSON can take 400 MB. DuckDB draws the line there too."""
_READ_BYTES = 1 << 20
_MAX_NESTING = 1024  # that of orjson; Python's json stops at its own, which differs by version: 1000, 1500, 10,000
_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"')
_NO_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")
_NO_KEYS: frozenset[str] = frozenset()
_BLANKS = b" \t\r\n"
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Lines:
    """Consecutive rows as the bytes they came in."""

    texts: Sequence[bytes]
    """Each row's line with its line ending, preceded by what stood before it: blank lines, a byte order mark."""
    keys: Sequence[frozenset[str]]
    """Which of the output columns each row already has at its top level."""
    trailer: bytes = b""
    """What follows the last row."""

    @property
    def num_rows(self) -> int:
        """Number of rows."""
        return len(self.texts)


@dataclass(frozen=True, slots=True)
class ParsedLines:
    """Lines as read: ``texts``, ``keys`` and ``trailer`` as in ``Lines``, their objects and 1-based line numbers."""

    texts: list[bytes]
    keys: list[frozenset[str]]
    rows: list[dict[str, Any]]
    numbers: list[int]
    trailer: bytes

    def columns(self) -> dict[str, Sequence[Any]]:
        """Each key's values ``[rows]``, ``None`` where a row lacks it; keys in the order they are first seen."""
        first = tuple(self.rows[0]) if self.rows else ()
        if all(tuple(row) == first for row in self.rows):  # as in most tables, and three times as fast
            return dict(zip(first, zip(*(row.values() for row in self.rows), strict=True), strict=True))
        keys = dict.fromkeys(key for row in self.rows for key in row)
        return {key: [row.get(key) for row in self.rows] for key in keys}

    def line(self, at: int) -> bytes:
        """Row ``at``'s line, without its line feed and without what stood before it."""
        return self.texts[at].removesuffix(b"\n").rpartition(b"\n")[2].removeprefix(_BOM)


class Reject(Protocol):
    """Takes a line that is no row: its number (from 1), the reason, and its bytes without the line feed.

    Of a line longer than ``LINE_BYTES``, ``line`` has the first bytes and ``rest`` gives the others, in pieces.
    """

    def __call__(self, number: int, reason: str, line: bytes, rest: Iterable[bytes] | None = None, /) -> None: ...


def refuse_line(number: int, reason: str, *_: object) -> None:
    """A ``Reject`` that takes none: raises ``InputError``."""
    raise InputError(f"line {number}: {reason} (run --rejects FILE keeps such lines and goes on)")


def ignore_line(*_: object) -> None:
    """A ``Reject`` that passes over every line."""


def strict_loads(line: bytes) -> Any:
    """What the JSON text ``line`` holds. Raises ``ValueError``, or ``RecursionError`` for deep nesting.

    NaN literals and integers of any length are taken, as Python's json does. A lone surrogate is refused, except those
    by which Python writes the bytes of file names that are not UTF-8.
    """
    value = json.loads(line.decode())
    refuse_surrogates(line, value, "surrogateescape")
    return value


def refuse_surrogates(line: bytes, value: Any, allowed: Literal["strict", "surrogateescape"]) -> None:
    """Raise ``ValueError`` when ``value``, which ``line`` holds, has text that cannot be written in UTF-8."""
    if b"\\u" in line:
        try:
            json.dumps(value, ensure_ascii=False).encode("utf-8", allowed)
        except UnicodeEncodeError as error:
            raise ValueError(
                f"its text holds {error.object[error.start]!a}, half of a UTF-16 pair, which is not a character: write "
                "the whole pair, or leave it out"
            ) from error


def _nesting(line: bytes) -> int:
    """How deep arrays and objects lie within each other in the text ``line``; 0 if surely below ``_MAX_NESTING``."""
    if line.count(b"[") + line.count(b"{") <= _MAX_NESTING:
        return 0
    brackets = _STRING.sub(b"", line).translate(None, delete=_NO_BRACKETS)
    return max(accumulate(1 if byte in b"[{" else -1 for byte in brackets), default=0)


class LineReader:
    """Iterating gives the rows of ``stream`` in pieces of about ``chunk_bytes`` and at most ``CHUNK_ROWS`` rows.

    Lines that are no rows go to ``reject``: lines longer than ``LINE_BYTES``, whatever is no JSON object in UTF-8, and
    objects with a value of another type where the run writes (``written`` has the output columns and their types).
    ``loads`` is tried first on each line; a line it refuses with ``ValueError`` is read again by ``exact``, which has
    the last word.
    """

    def __init__(
        self,
        stream: BinaryIO,
        written: Mapping[str, frozenset[type]],
        reject: Reject,
        *,
        loads: Callable[[bytes], Any] = orjson.loads,
        exact: Callable[[bytes], Any] = strict_loads,
        chunk_bytes: int = CHUNK_BYTES,
    ) -> None:
        self.rows = 0
        """Lines so far that are not blank, given out or rejected."""
        self._stream, self._written, self._reject = stream, written, reject
        self._loads, self._exact, self._chunk_bytes = loads, exact, chunk_bytes
        self._names, self._key_sets = frozenset(written), dict[frozenset[str], frozenset[str]]()
        self._number = 0

    def __iter__(self) -> Iterator[ParsedLines]:
        while block := self._stream.read(self._chunk_bytes):
            if not block.endswith(b"\n"):
                block += self._stream.readline(LINE_BYTES)
            lines = io.BytesIO(block).readlines()
            too_long = lines.pop() if len(lines[-1]) > LINE_BYTES else None
            before = b""
            if self._number == 0 and lines and lines[0].startswith(_BOM):
                before, lines[0] = _BOM, lines[0][len(_BOM) :]
            for start in range(0, len(lines), CHUNK_ROWS):
                yield self._parse(lines[start : start + CHUNK_ROWS], before)
                before = b""
            if too_long is not None:
                self._reject_too_long(too_long)

    def _parse(self, lines: list[bytes], before: bytes) -> ParsedLines:
        loads, names, key_sets = self._loads, self._names, self._key_sets
        texts, keys, rows, numbers, blanks = [], [], [], [], 0
        for number, line in enumerate(lines, self._number + 1):
            reason = ""
            try:
                row = loads(line)
            except (ValueError, RecursionError):
                if not line.strip(_BLANKS):  # looked at only here: a blank line never parses
                    before += line
                    blanks += 1
                    continue
                row, reason = self._read_again(line)
            if type(row) is dict:
                had = frozenset(names & row.keys())
                if had:
                    reason = self._find_clash(row, had)
            elif not reason:
                reason = f"{_name_kind(row)} where a JSON object is needed"
            if reason:
                self._reject(number, reason, line.removesuffix(b"\n"))
                continue
            texts.append(before + line if before else line)
            keys.append(key_sets.setdefault(had, had) if had else _NO_KEYS)
            rows.append(row)
            numbers.append(number)
            before = b""
        self._number += len(lines)
        self.rows += len(lines) - blanks
        return ParsedLines(texts, keys, rows, numbers, before)

    def _read_again(self, line: bytes) -> tuple[Any, str]:
        """What ``line`` holds and an empty text, or ``None`` and the reason why it cannot be read."""
        too_deep = f"nested too deeply: more than {_MAX_NESTING} levels"
        try:
            return (None, too_deep) if _nesting(line) > _MAX_NESTING else (self._exact(line), "")
        except RecursionError:
            return None, too_deep
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            return None, f"not a JSON object: {error}"
        except ValueError as error:
            return None, str(error)

    def _find_clash(self, row: dict[str, Any], had: Iterable[str]) -> str:
        """Why the run cannot write over one of the output columns that ``row`` ``had``; empty where it can."""
        for name in had:
            if type(row[name]) not in self._written[name]:
                wanted = "a number" if float in self._written[name] else "text"
                return f"{name!r} holds {_name_kind(row[name])}, but this run writes {wanted} there: rename one of them"
        return ""

    def _reject_too_long(self, line: bytes) -> None:
        def rest() -> Iterator[bytes]:
            piece = line
            while not piece.endswith(b"\n") and (piece := self._stream.readline(_READ_BYTES)):
                yield piece.removesuffix(b"\n")

        self._number += 1
        self.rows += 1
        pieces = rest()
        self._reject(self._number, f"longer than {LINE_BYTES >> 20} MiB", line.removesuffix(b"\n"), pieces)
        for _ in pieces:  # also where ``reject`` left some
            pass


def _name_kind(value: object) -> str:
    kinds = {dict: "an object", list: "an array", str: "a string", bool: "true or false", type(None): "null"}
    return kinds.get(type(value), "a number")
