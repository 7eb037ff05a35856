"""JSON lines: rows read one line each, and the lines that are no rows."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, Literal, Protocol

import orjson

CHUNK_BYTES = 1 << 18  # four times as much falls out of the cache: a fifth slower beside a busy neighbour
CHUNK_ROWS = 8192
LINE_BYTES = 1 << 24
"""Longer lines are rejected: parsing 16 MiB of JSON can take 400 MB. DuckDB draws the line there too."""
_READ_BYTES = 1 << 20
_NO_KEYS: frozenset[str] = frozenset()
_BLANKS = b" \t\r\n"
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Lines:
    """Consecutive rows as the bytes they came in.

    ``texts[i]`` is row i's line with its line ending, preceded by whatever stood before it that is no row (blank
    lines, a byte order mark); ``keys[i]`` says which of the output columns row i already has at its top level.
    ``trailer`` is what follows the last row.
    """

    texts: Sequence[bytes]
    keys: Sequence[frozenset[str]]
    trailer: bytes = b""

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
        """Row ``at``'s line alone, without its line feed."""
        return self.texts[at].removesuffix(b"\n").rpartition(b"\n")[2].removeprefix(_BOM)


class Reject(Protocol):
    """Takes a line that is no row: its number, the reason, its bytes without the line feed, or their first ones.

    ``rest`` gives the others, in pieces, of a line longer than ``LINE_BYTES``.
    """

    def __call__(self, number: int, reason: str, line: bytes, rest: Iterable[bytes] | None = None) -> None: ...


def strict_loads(line: bytes) -> Any:
    """What the JSON text ``line`` holds. Raises ``ValueError``, or ``RecursionError`` for some 1000 levels of nesting.

    NaN literals and integers of any length are taken, as Python has them, and of lone surrogates those with which it
    writes file names that are no text.
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
            raise ValueError(f"the lone surrogate {error.object[error.start]!a} is no character") from error


class LineReader:
    """Iterating gives the rows of ``stream`` in pieces of about ``chunk_bytes`` and at most ``CHUNK_ROWS`` rows.

    Lines that are no rows go to ``reject``: longer ones than ``LINE_BYTES``, whatever is no JSON object in UTF-8, and
    objects with a value under the name of an output column that no run writes there (``columns`` has their types).
    ``loads`` is tried first on each line; a line it refuses with ``ValueError`` is read again by ``exact``, which has
    the last word.
    """

    def __init__(
        self,
        stream: BinaryIO,
        columns: Mapping[str, frozenset[type]],
        reject: Reject,
        *,
        loads: Callable[[bytes], Any] = orjson.loads,
        exact: Callable[[bytes], Any] = strict_loads,
        chunk_bytes: int = CHUNK_BYTES,
    ) -> None:
        self.rows = 0
        """Lines so far that are not blank, given out or rejected."""
        self._stream, self._columns, self._reject = stream, columns, reject
        self._loads, self._exact, self._chunk_bytes = loads, exact, chunk_bytes
        self._names, self._key_sets = frozenset(columns), dict[frozenset[str], frozenset[str]]()
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
            try:
                row = loads(line)
            except (ValueError, RecursionError):
                if not line.strip(_BLANKS):  # looked at only here: a blank line never parses
                    before += line
                    blanks += 1
                    continue
                row = self._read_again(line)
            if type(row) is dict:
                had = frozenset(names & row.keys())
                fault = self._clash(row, had) if had else ""
            else:
                fault = row if type(row) is _Fault else f"{_json_kind(row)} where a JSON object is needed"
            if fault:
                self._reject(number, fault, line.removesuffix(b"\n"))
                continue
            texts.append(before + line if before else line)
            keys.append(key_sets.setdefault(had, had) if had else _NO_KEYS)
            rows.append(row)
            numbers.append(number)
            before = b""
        self._number += len(lines)
        self.rows += len(lines) - blanks
        return ParsedLines(texts, keys, rows, numbers, before)

    def _read_again(self, line: bytes) -> Any:
        try:
            return self._exact(line)
        except RecursionError:
            return _Fault("nested too deeply")
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            return _Fault(f"not a JSON object: {error}")
        except ValueError as error:
            return _Fault(str(error))

    def _clash(self, row: dict[str, Any], had: Iterable[str]) -> str:
        for name in had:
            if type(row[name]) not in self._columns[name]:
                wanted = "a number" if float in self._columns[name] else "text"
                return f"{name!r} holds {_json_kind(row[name])}, but this run writes {wanted} there: rename one of them"
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
        for _ in pieces:  # where nobody took them
            pass


class _Fault(str):
    """Why a line is no JSON, where its object would be."""


def _json_kind(value: object) -> str:
    kinds = {dict: "an object", list: "an array", str: "a string", bool: "true or false", type(None): "null"}
    return kinds.get(type(value), "a number")
