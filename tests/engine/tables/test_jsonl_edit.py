"""JSON lines: every row keeps its own bytes, whatever they are, and gains its fields."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from saliency_engine.tables.jsonl_edit import Edit
from saliency_engine.tables.jsonl_lines import LineReader

ANYTHING: frozenset[type] = frozenset({dict, list, str, int, float, bool, type(None)})


def edited(text: bytes, values: dict[str, Any], nulls: tuple[str, ...] = ()) -> bytes:
    """``text`` read and edited as a run does it."""
    edit, out = Edit(values, nulls), []
    for chunk in LineReader(io.BytesIO(text), dict.fromkeys([*values, *nulls], ANYTHING), refused):
        out += [edit.apply(line, keys) for line, keys in zip(chunk.texts, chunk.keys, strict=True)]
        out.append(chunk.trailer)
    return b"".join(out)


def refused(number: int, reason: str, line: bytes, rest: object = None) -> None:  # noqa: ARG001  as a ``Reject`` must
    raise AssertionError(f"line {number}: {reason}: {line!r}")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b'{"a": 1}\n', b'{"a": 1, "k": 0.5}\n'),
        (b'{"a":1}\r\n', b'{"a":1, "k": 0.5}\r\n'),
        (b"{}", b'{"k": 0.5}'),
        (b"  { \t} \n", b'  { \t"k": 0.5} \n'),
        (b'{"a": "{"}\n', b'{"a": "{", "k": 0.5}\n'),
        (b'{"a": {"k": 1}}\n', b'{"a": {"k": 1}, "k": 0.5}\n'),
        (b'{"a": "\\"k\\": 7"}\n', b'{"a": "\\"k\\": 7", "k": 0.5}\n'),
        (b'{"a": "x\\"k", "k": 1}\n', b'{"a": "x\\"k", "k": 0.5}\n'),
        (b'{"a": "k"}\n', b'{"a": "k", "k": 0.5}\n'),
        (b'{"k": 1, "a": 2}\n', b'{"k": 0.5, "a": 2}\n'),
        (b'{ "k" :\tNaN\t, "a": 2}\n', b'{ "k" :\t0.5\t, "a": 2}\n'),
        (b'{"a": "k", "k": "x\\"}"}\n', b'{"a": "k", "k": 0.5}\n'),
        (b'{"k": [1, {"k": 2}], "a": 2}\n', b'{"k": 0.5, "a": 2}\n'),
        (b'{"a": {"k": 1}, "k": null}\n', b'{"a": {"k": 1}, "k": 0.5}\n'),
        (b'{"k": 1, "k": 2}\n', b'{"k": 1, "k": 0.5}\n'),
        (b'{"\\u006b": 1}\n', b'{"\\u006b": 0.5}\n'),
        (b'{"a": {"k": 1}, "\\u006b": 1}\n', b'{"a": {"k": 1}, "\\u006b": 0.5}\n'),
        (b'{"k": ' + b"[" * 900 + b"]" * 900 + b"}\n", b'{"k": 0.5}\n'),
        (
            b'\xef\xbb\xbf{"a": 1}\n\n \r\n{"a": 2}\n\n',
            b'\xef\xbb\xbf{"a": 1, "k": 0.5}\n\n \r\n{"a": 2, "k": 0.5}\n\n',
        ),
        (b"\n\n", b"\n\n"),
        (b"", b""),
    ],
)
def test_a_field_is_set_and_all_other_bytes_stay(before: bytes, after: bytes) -> None:
    assert edited(before, {"k": 0.5}) == after


def test_a_key_that_looks_like_punctuation_is_found() -> None:
    assert edited(b'{"x": ["a", "b"], ", ": 1}', {", ": 2}) == b'{"x": ["a", "b"], ", ": 2}'


def test_nulls_replace_what_is_there_and_add_nothing() -> None:
    assert edited(b'{"old": "x", "a": 1}\n{"a": 1}\n', {}, ("old",)) == b'{"old": null, "a": 1}\n{"a": 1}\n'


def test_numbers_that_no_parser_keeps_are_kept() -> None:
    row = b'{"a": 9007199254740993, "b": 1180591620717411303424, "c": 1e5, "d": -0.0, "e": 1.50, "f": -Infinity}\n'
    assert edited(row, {"k": "n\u00e9"}) == row[:-2] + ', "k": "né"}\n'.encode()


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
values = st.recursive(scalars, lambda v: st.lists(v, max_size=3) | st.dictionaries(st.text(max_size=3), v, max_size=3))
keys = st.sampled_from(["k", "kk", "a", '"k"', "k\\", "é", ""]) | st.text(max_size=4)
separators = st.sampled_from([(", ", ": "), (",", ":"), (" ,\t", " : ")])


@settings(max_examples=400)
@given(
    st.lists(st.dictionaries(keys, values, max_size=5), max_size=4),
    st.dictionaries(st.sampled_from(["k", "é", "q"]), scalars, max_size=3),
    separators,
    st.booleans(),
)
def test_any_row_becomes_itself_with_the_fields(
    rows: list[dict[str, Any]], fields: dict[str, Any], separators: tuple[str, str], escape: bool
) -> None:
    def dump(row: object) -> bytes:
        # Surrogates have no UTF-8 form; written as escapes they are valid.
        return json.dumps(row, separators=separators, ensure_ascii=escape).encode("utf-8", "backslashreplace")

    text = b"".join(dump(row) + b"\n" for row in rows)
    result = edited(text, fields)
    lines = result.splitlines(keepends=True) if not result else result.split(b"\n")[:-1]
    assert len(lines) == len(rows)
    for line, row in zip(lines, rows, strict=True):
        expected = row | fields
        assert repr(json.loads(line)) == repr(json.loads(json.dumps(expected)))
        if not fields.keys() & row.keys():
            added = json.dumps(fields, ensure_ascii=False)[1:-1].encode()
            assert line == dump(row)[:-1] + (b", " if row and fields else b"") + added + b"}"
