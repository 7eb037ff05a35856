"""CSV text cut into records, each with its bytes, and the encodings and delimiters that there are."""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from saliency_engine.errors import InputError
from saliency_engine.tables.jsonl_lines import LINE_BYTES

_REASONS = {
    "unexpected end": "a quoted field has no end: a quote is missing on this line or further down",
    "field larger": f"a field is longer than {csv.field_size_limit()} characters: perhaps a quote is missing",
    "new-line character": "a carriage return stands inside a field without quotes",
    "expected after": 'text follows the end of a quoted field: a quote inside such a field is written twice, as ""',
}
"""The csv module's messages by some of their words, each with a reason for people."""


@dataclass(slots=True)
class Record:
    """One row, or a blank line."""

    number: int
    """Of its first line, from 1."""
    text: bytes
    """Its lines with their line ends."""
    fields: list[str]
    """Empty for a blank line and for a row that is not well formed."""
    reason: str
    """Why it is not well formed, or empty."""


def prepend(record: Record, records: Iterator[Record]) -> Iterator[Record]:
    yield record
    yield from records


def read_records(stream: BinaryIO, line: bytes, delimiter: str) -> Iterator[Record]:
    """The rows of ``stream`` after ``line``, its first, which may be one or its beginning."""
    lines: list[bytes] = []
    count = 0

    def decode_lines() -> Iterator[str]:
        nonlocal line, count
        while line:
            count += 1
            if len(line) > LINE_BYTES:
                raise InputError(f"line {count}: longer than {LINE_BYTES >> 20} MiB")
            lines.append(line)
            try:
                yield line.decode()
            except UnicodeDecodeError:
                raise _refuse_encoding(f"line {count} is not UTF-8") from None
            line = stream.readline(LINE_BYTES + 1)

    reader = csv.reader(decode_lines(), delimiter=delimiter, strict=True)
    number = 1
    while True:
        fields: list[str] = []
        reason = ""
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            reason = next((text for words, text in _REASONS.items() if words in str(error)), str(error))
        yield Record(number, b"".join(lines), fields, reason)
        lines.clear()
        number = count + 1


def choose_delimiter(line: bytes) -> str:
    """Whichever of comma, semicolon and tab the file's first ``line`` has most of, outside quotes."""
    plain = re.sub(rb'"(?:[^"]++|"")*+("|$)', b"", line)
    return max(",;\t", key=lambda delimiter: plain.count(delimiter.encode()))


def check_encoding(stream: BinaryIO) -> None:
    """Raise ``InputError`` for a file that is not UTF-8: now, rather than after the rows before that place."""
    decoder, lines = codecs.getincrementaldecoder("utf-8")(), 0
    for block in iter(lambda: stream.read(1 << 20), b""):
        if not lines:
            check_width(block)
        try:
            decoder.decode(block)
        except UnicodeDecodeError as error:
            lines += block[: error.start].count(b"\n")
            raise _refuse_encoding(f"line {lines + 1} is not UTF-8") from None
        lines += block.count(b"\n")


def check_width(head: bytes) -> None:
    """Raise ``InputError`` where the first bytes of a file are those of characters of two or four bytes."""
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in head[:64]:
        raise _refuse_encoding("it is UTF-16 or UTF-32", "UTF-16")


def _refuse_encoding(where: str, encoding: str = "WINDOWS-1252") -> InputError:
    return InputError(f"{where}: write it again as UTF-8, for example with iconv -f {encoding} -t UTF-8 OLD > NEW")
