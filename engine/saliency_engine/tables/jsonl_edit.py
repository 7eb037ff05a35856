"""Fields spliced into a JSON line while all its other bytes stay as they are."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

_BLANKS = b" \t\r\n"
_STRING = rb'"(?:[^"\\]++|\\.)*+"'
_SCALAR = re.compile(rb"\s*:\s*(" + _STRING + rb'|[^\s,{}\[\]"]++)')
_TOKEN = re.compile(_STRING + rb"(\s*:\s*)?|[{}\[\],]")
_ESCAPED_ASCII = re.compile(rb"\\u00[2-7]")  # the one way to spell a plain key differently
_PLAIN_KEY = re.compile(r"[A-Za-z0-9_.-]+")


class Edit:
    """A change to a row's line: what it gains, and what it must not keep.

    ``values`` are set: in place where the row has the key (the last occurrence, which is the one parsers use),
    otherwise before the closing brace. ``nulls`` become null where the row has them and are not added.
    """

    def __init__(self, values: Mapping[str, Any], nulls: Iterable[str] = ()) -> None:
        self._fields: list[tuple[str, bytes, bytes, bytes]] = []
        for key, value, added in [(k, v, True) for k, v in values.items()] + [(k, None, False) for k in nulls]:
            token, data = (json.dumps(part, ensure_ascii=False).encode() for part in (key, value))
            self._fields.append((key, token, data, b", %b: %b" % (token, data) if added else b""))
        self._tail = b"".join(added for *_, added in self._fields)

    def apply(self, text: bytes, keys: frozenset[str]) -> bytes:
        """``text``, one of ``Lines.texts``, changed; ``keys`` are the output columns it has."""
        tail = b"" if keys else self._tail
        for key, token, data, added in self._fields if keys else ():
            if key in keys:
                start, end = _find_scalar(text, key, token) or _find_top_level(text)[key]
                text = text[:start] + data + text[end:]
            else:
                tail += added
        if not tail:
            return text
        brace = text.rindex(b"}")
        if text[brace - 1] in b"{ \t\r\n" and text[:brace].rstrip(_BLANKS).endswith(b"{"):
            tail = tail[2:]  # no other valid object ends so
        return b"".join((text[:brace], tail, text[brace:]))


def _find_scalar(text: bytes, key: str, token: bytes) -> tuple[int, int] | None:
    """Where the value of the top-level ``key`` lies, if that is plain to see: 1 µs where the walk below takes 40.

    The parser saw the key, and a plain key that no escape spells stands in the line as ``"key"``. So when these bytes
    occur once, that is where; when they occur again (nested, as a value, at the end of a string) we walk.
    """
    at = text.find(token)
    if at < 0 or text.find(token, at + 1) >= 0 or not _PLAIN_KEY.fullmatch(key) or _ESCAPED_ASCII.search(text):
        return None
    match = _SCALAR.match(text, at + len(token))
    return match.span(1) if match else None


def _find_top_level(text: bytes) -> dict[str, tuple[int, int]]:
    """Where the value of each top-level key of a valid line lies; the last one counts for a repeated key.

    Walks tokens instead of parsing: any depth of nesting costs no stack, and offsets stay in bytes.
    """
    spans: dict[str, tuple[int, int]] = {}
    depth, key, start = 0, None, 0
    for match in _TOKEN.finditer(text):
        mark = match[0][:1]
        if mark == b'"':
            if depth == 1 and match[1] is not None:
                key, start = json.loads(match[0][: match.start(1) - match.start()]), match.end()
            continue
        if depth == 1 and key is not None and mark in b",}":
            spans[key] = start, start + len(text[start : match.start()].rstrip(_BLANKS))
            key = None
        depth += (mark in b"{[") - (mark in b"}]")
    return spans
