"""JSON lines: which lines are rows, and that every other one is rejected by its number, with the reason, whole."""

from __future__ import annotations

import io
import re
from typing import Any

import pytest

from saliency_engine.config import RunConfig
from saliency_engine.tables.columns import columns_of
from saliency_engine.tables.jsonl_lines import CHUNK_BYTES, CHUNK_ROWS, LINE_BYTES, LineReader

COLUMNS = columns_of(RunConfig(model="frequency_tuned_v1")).written


def read(text: bytes) -> tuple[bytes, list[tuple[int, str, bytes]], int]:
    """The lines that are rows with all that is no line, the rejected lines, and how many lines there were."""
    kept, rejected = [], []

    def reject(number: int, reason: str, line: bytes, rest: Any = None) -> None:
        rejected.append((number, reason, line + b"".join(rest or ())))

    reader = LineReader(io.BytesIO(text), COLUMNS, reject)
    for chunk in reader:
        kept += [*chunk.texts, chunk.trailer]
    return b"".join(kept), rejected, reader.rows


BAD = [
    (b"[1]", "an array where a JSON object is needed"),
    (b"3", "a number where"),
    (b'"x"', "a string where"),
    (b"null", "null where"),
    (b'{"a": 1', "not a JSON object: Expecting"),
    (b'{"a": 1}{"b": 2}', "not a JSON object: Extra data"),
    (b'{"a": 1}, ', "not a JSON object: Extra data"),
    (b'{"a": "\xff"}', "not a JSON object: 'utf-8' codec can't decode byte 0xff in position 7"),
    (b'{"a": "\xed\xa0\x80"}', "not a JSON object: 'utf-8' codec"),
    (b'{"a": "\\ud800"}', r"its text holds '\\ud800', half of a UTF-16 pair"),
    (b'{"\\udbff": 1}', r"its text holds '\\udbff'"),
    (b'{"a": "\x00"}', "control character"),
    (b"\x00" * 100, "not a JSON object"),
    (b'{"a": 1}\x00', "Extra data"),
    ("{}".encode("utf-16"), "not a JSON object"),
    ("{}".encode("utf-16-le"), "not a JSON object"),
    (b"\xef\xbb\xbf{}", "not a JSON object"),
    (b"[" * 100_000 + b"]" * 100_000, "nested too deeply"),
    (b'{"saliency_mean": {"a": 1}}', "'saliency_mean' holds an object, but this run writes a number there"),
    (b'{"saliency_var": "0.5"}', "'saliency_var' holds a string"),
    (b'{"saliency_ema_alpha": true}', "'saliency_ema_alpha' holds true or false"),
    (b'{"saliency_status": 1}', "'saliency_status' holds a number, but this run writes text there"),
    (b'{"saliency_error": ["x"]}', "'saliency_error' holds an array"),
]


@pytest.mark.parametrize(("line", "reason"), BAD)
def test_a_line_that_is_no_row_is_rejected_whole_and_all_others_are_read(line: bytes, reason: str) -> None:
    before, after = b'{"a": 1}\n\n' * (CHUNK_ROWS // 2 + 5), b'{"a": 3}\r\n \n'
    kept, rejected, rows = read(before + line + b"\n" + after)
    assert kept == before + after
    assert rows == before.count(b"{") + 2
    ((number, message, text),) = rejected
    assert (number, text) == (CHUNK_ROWS + 11, line)
    assert re.search(reason, message)


@pytest.mark.parametrize(
    "line",
    [
        b'{"a": 1, "a": 2}',
        b'{"a": "\\udcff.mp4"}',  # how Python writes a file name that is no text
        b'{"a": "\\ud83d\\ude00 \\u0000"}',
        b'{"a": ' + b"[" * 1000 + b"]" * 1000 + b"}",
        b'{"a": NaN, "b": 1e999, "c": 123456789012345678901234567890}',
        b'{"saliency_mean": null, "saliency_var": NaN, "saliency_status": "x", "saliency_ema_alpha": 1}',
        b'{"a": {"saliency_mean": "x"}}',
        b'{"a": "' + b"x" * (LINE_BYTES - 11) + b'"}',
    ],
    ids=lambda line: line[:30].decode(),
)
def test_odd_lines_that_are_rows_stay(line: bytes) -> None:
    for text in (line, line + b"\n", b"\n" + line + b"\r\n{}"):
        assert read(text)[:2] == (text, [])


def test_a_line_too_long_is_rejected_in_pieces() -> None:
    line = b'{"a": "' + b"x" * (LINE_BYTES + CHUNK_BYTES) + b'"}'
    for text, rows in ((line, 1), (b"{}\n" + line + b"\n", 2), (b"{}\n" + line + b"\n{}", 3)):
        kept, rejected, count = read(text)
        assert kept == text.replace(line, b"").replace(b"\n\n", b"\n")
        assert count == rows
        ((number, reason, rejected_line),) = rejected
        assert (number, reason) == (min(rows, 2), "longer than 16 MiB")
        assert rejected_line == line


def test_a_file_of_blank_lines_is_read_in_pieces() -> None:
    text = b"\xef\xbb\xbf" + b"\n" * (3 * CHUNK_BYTES + 1)
    pieces = [chunk.trailer for chunk in LineReader(io.BytesIO(text), COLUMNS, lambda *_: None)]
    assert b"".join(pieces) == text
    assert max(map(len, pieces)) <= CHUNK_BYTES < len(text) / 3


def test_pieces_are_bounded_and_number_their_lines() -> None:
    text = b"\n" + b'{"a": 1}\n' * (3 * CHUNK_ROWS)
    chunks = list(LineReader(io.BytesIO(text), COLUMNS, lambda *_: None))
    assert max(len(chunk.rows) for chunk in chunks) <= CHUNK_ROWS
    assert [n for chunk in chunks for n in chunk.numbers] == list(range(2, 3 * CHUNK_ROWS + 2))
    assert b"".join(text for chunk in chunks for text in chunk.texts) == text


@pytest.mark.parametrize("other", [b"1", b"NaN"], ids=["read by orjson", "read by json"])
@pytest.mark.parametrize(("open_", "close"), [(b"[", b"]"), (b'{"b": ', b"}")])
def test_the_same_nesting_is_too_deep_on_every_python(other: bytes, open_: bytes, close: bytes) -> None:
    line = b'{"s": "' + b'\\"[{' * 2000 + b'", "a": ' + open_ * 900 + other + close * 900 + b"}"
    assert read(line)[:2] == (line, [])
    for depth in (1024, 3000):
        line = b'{"a": ' + open_ * depth + other + close * depth + b"}"
        assert read(line)[1] == [(1, "nested too deeply: more than 1024 levels", line)]
