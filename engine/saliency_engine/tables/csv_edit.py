"""Fields spliced into a CSV row while all its other bytes stay as they are, and values written as fields."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import pyarrow as pa

_LINE_ENDS = b"\r\n"


@dataclass(frozen=True)
class CsvLayout:
    """How the rows of a CSV file lie in it. It takes the place of a schema where they keep their bytes."""

    schema: pa.Schema
    """The columns in order; those of which a run reads nothing have the type null."""
    delimiter: str
    header: bytes
    """The line with the names, up to its end, after whatever stands before it: a byte order mark, blank lines."""

    def extend(self, names: Iterable[str]) -> CsvLayout:
        """The same with a column of text at the end for each of ``names`` that is not there yet."""
        added = [name for name in names if name not in self.schema.names]
        tail = b"".join(self.delimiter.encode() + write_field(name, self.delimiter) for name in added)
        fields = [*self.schema, *(pa.field(name, pa.string()) for name in added)]
        return replace(self, schema=pa.schema(fields), header=_append(self.header, tail))


class CsvEdit:
    """A change to a row's text: ``values`` by column are set, in place or at the end.

    ``before`` is the layout of the rows as they are, and ``after`` as they will be: a column that is only there, and
    has no value, is empty. ``None`` is written as an empty field.
    """

    def __init__(self, before: CsvLayout, after: CsvLayout, values: Mapping[str, Any]) -> None:
        self._delimiter = before.delimiter.encode()
        names, known = after.schema.names, len(before.schema)
        fields = {name: write_field(value, before.delimiter) for name, value in values.items()}
        self._set = sorted((names.index(name), data) for name, data in fields.items() if names.index(name) < known)
        self._tail = b"".join(self._delimiter + fields.get(name, b"") for name in names[known:])

    def apply(self, text: bytes, _: object = None) -> bytes:
        """``text``, one of ``Lines.texts``, changed."""
        for place, data in reversed(self._set):  # from the end, so that the places before it stay right
            start, end = _find_field(text, place, self._delimiter)
            text = text[:start] + data + text[end:]
        return _append(text, self._tail) if self._tail else text


def write_field(value: Any, delimiter: str) -> bytes:
    """One value as a field; ``None`` is an empty one."""
    return _quote([_as_text(value)], delimiter)[0].encode()


def write_rows(columns: Sequence[Sequence[Any]], delimiter: str) -> bytes:
    """Rows from their columns. Floats are in the fewest digits that read back the same."""
    texts = [_quote([_as_text(value) for value in column], delimiter) for column in columns]
    if len(texts) == 1:
        texts = [[text or '""' for text in texts[0]]]  # an empty line would be no row
    return "".join([f"{row}\n" for row in map(delimiter.join, zip(*texts, strict=True))]).encode()


def _as_text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else repr(value) if isinstance(value, float) else str(value)


def _quote(texts: list[str], delimiter: str) -> list[str]:
    special = _special_characters(delimiter)
    if not special.search("".join(texts)):  # as in most columns
        return texts
    return ['"' + text.replace('"', '""') + '"' if special.search(text) else text for text in texts]


@lru_cache
def _special_characters(delimiter: str) -> re.Pattern[str]:
    return re.compile(f'[{re.escape(delimiter)}"\r\n]')


@lru_cache
def _field_and_delimiter(delimiter: bytes) -> re.Pattern[bytes]:
    end = re.escape(delimiter)
    return re.compile(rb'(?:"(?:[^"]++|"")*+"|[^' + end + rb"\r\n]*+)" + end)


def _find_field(text: bytes, place: int, delimiter: bytes) -> tuple[int, int]:
    """Where the field of column ``place`` lies in a row that was read before, and so is well formed."""
    pattern = _field_and_delimiter(delimiter)
    start = len(text) - len(text.lstrip(_LINE_ENDS))
    for _ in range(place):
        match = pattern.match(text, start)
        assert match is not None
        start = match.end()
    last = pattern.match(text, start)
    return start, last.end() - len(delimiter) if last else len(text.rstrip(_LINE_ENDS))


def _append(text: bytes, tail: bytes) -> bytes:
    """``text`` with ``tail`` before its line end."""
    end = len(text.rstrip(_LINE_ENDS))
    return b"".join((text[:end], tail, text[end:]))
