"""CSV and TSV as a table format: rows that keep their bytes or become record batches of text, and rows written."""

from __future__ import annotations

import codecs
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, BinaryIO

import pyarrow as pa

from saliency_engine.config import NUMBER_ROLES
from saliency_engine.errors import InputError
from saliency_engine.tables import jsonl_arrow
from saliency_engine.tables.batches import BATCH_BYTES, with_position
from saliency_engine.tables.columns import Columns
from saliency_engine.tables.csv_edit import CsvLayout, write_rows
from saliency_engine.tables.csv_records import (
    Record,
    check_encoding,
    check_width,
    choose_delimiter,
    prepend,
    read_records,
)
from saliency_engine.tables.formats import Format, Opened, RawTable, pack, unpack
from saliency_engine.tables.jsonl_lines import CHUNK_BYTES, CHUNK_ROWS, LINE_BYTES, Lines, refuse_line
from saliency_engine.tables.rows import ArrowRows
from saliency_engine.types import RowBatch

_NO_KEYS: frozenset[str] = frozenset()


@dataclass(frozen=True)
class CsvChunk:
    """Consecutive rows: as they are in the file, and as a batch of the columns that a run looks at."""

    lines: Lines
    batch: pa.RecordBatch


class CsvRows:
    """Finds the clips that CSV rows name. ``schema`` is that of ``CsvChunk.batch``; raises as ``ArrowRows`` does."""

    def __init__(self, schema: pa.Schema, columns: Columns) -> None:
        self._rows = ArrowRows(schema, columns)

    def find_clips(self, chunk: CsvChunk, first_row: int) -> RowBatch[Lines]:
        """``chunk.lines`` with a code for each row."""
        batch = self._rows.find_clips(chunk.batch, first_row)
        return replace(batch, payload=chunk.lines)


def open_rows(raw: RawTable) -> Opened:
    """The rows of a CSV file: as ``CsvChunk`` s or, with ``raw.lines_as_arrow``, as record batches of text.

    The columns that the run writes numbers to are numbers. Raises ``InputError``, here and while reading.
    """
    if raw.stream.seekable():
        check_encoding(_unpack(raw))
        raw.stream.seek(0)
    reader = _CsvReader(raw, _unpack(raw))
    pieces: Iterator[Any] = iter(reader)
    if raw.lines_as_arrow:
        pieces = (chunk.batch for chunk in reader if chunk.batch.num_rows)
    schema = reader.layout.schema if raw.lines_as_arrow else reader.layout
    format = Format("csv", raw.format.codec, reader.layout.delimiter)
    return Opened(format, with_position(pieces, raw.stream), lambda: reader.rows, schema)


def _unpack(raw: RawTable) -> BinaryIO:
    stream = unpack(raw.stream, raw.format.codec)
    raw.files.callback(stream.close)  # not before: closing it closes ``raw.stream``, too, which may be read again
    return stream


class _CsvReader:
    """Iterating gives the rows in ``CsvChunk`` s; the last one may have no rows.

    Rows that are not well formed, have another number of fields than the header, or text where the run writes a number,
    are rejected.
    """

    def __init__(self, raw: RawTable, stream: BinaryIO) -> None:
        self.rows = 0
        """Rows so far, given out or rejected."""
        self._reject = raw.reject or refuse_line
        self._chunk_bytes = BATCH_BYTES if raw.lines_as_arrow else CHUNK_BYTES
        first = stream.readline(LINE_BYTES + 1)
        check_width(first)
        before = codecs.BOM_UTF8 if first.startswith(codecs.BOM_UTF8) else b""
        first = first.removeprefix(codecs.BOM_UTF8)
        delimiter = raw.format.delimiter or choose_delimiter(first)
        self._records = read_records(stream, first, delimiter)
        names, header = self._read_header(raw.header, delimiter)
        written = [name for name, role in raw.columns.roles.items() if role in NUMBER_ROLES]
        read = {*raw.columns.of_clips, *raw.columns.roles}
        fields = [(name, pa.string() if raw.lines_as_arrow or name in read else pa.null()) for name in names]
        schema = pa.schema([(name, pa.float64() if name in written else kind) for name, kind in fields])
        self._empty_is_null = {place for place, name in enumerate(names) if name in raw.columns.roles}
        self.layout = CsvLayout(schema, delimiter, before + header)

    def _read_header(self, is_there: bool, delimiter: str) -> tuple[list[str], bytes]:
        """The columns' names, and the bytes of the line with them; without one, names are made from their numbers."""
        header = b""
        for record in self._records:
            header += record.text
            if record.reason:
                raise InputError(f"line {record.number}: {record.reason}")
            if not record.fields:
                continue
            if is_there:
                return record.fields, header
            names = [f"column_{number}" for number in range(1, len(record.fields) + 1)]
            self._records = prepend(record, self._records)
            end = "\r\n" if record.text.endswith(b"\r\n") else "\n"
            return names, (delimiter.join(names) + end).encode()
        raise InputError("it is empty: a CSV file begins with a line that names its columns")

    def __iter__(self) -> Iterator[CsvChunk]:
        before, size = b"", 0
        records: list[Record] = []
        for record in self._records:
            if not (record.fields or record.reason):  # a blank line
                before += record.text
                continue
            self.rows += 1
            reason = record.reason
            if not reason and len(record.fields) != len(self.layout.schema):
                reason = f"{len(record.fields)} fields, where the header has {len(self.layout.schema)}"
            if reason:
                self._reject(record.number, reason, record.text.rstrip(b"\r\n"))
                continue
            if before:
                record.text, before = before + record.text, b""
            records.append(record)
            size += len(record.text)
            if size >= self._chunk_bytes or len(records) >= CHUNK_ROWS:
                yield self._make_chunk(records, b"")
                records, size = [], 0
        yield self._make_chunk(records, before)

    def _make_chunk(self, records: list[Record], trailer: bytes) -> CsvChunk:
        columns: Sequence[Sequence[str]] = list(zip(*(record.fields for record in records), strict=True))
        arrays = []
        for place, field in enumerate(self.layout.schema):
            values: Sequence[str | None] = columns[place] if records else ()
            if pa.types.is_null(field.type):
                arrays.append(pa.nulls(len(records)))
                continue
            if place in self._empty_is_null:
                values = [value.strip() or None for value in columns[place]] if records else ()
            try:
                arrays.append(pa.array(values, pa.string()).cast(field.type))
            except pa.ArrowInvalid:
                return self._make_chunk(list(self._drop_misfits(records, place)), trailer)
        lines = Lines([record.text for record in records], [_NO_KEYS] * len(records), trailer)
        return CsvChunk(lines, pa.RecordBatch.from_arrays(arrays, schema=self.layout.schema))

    def _drop_misfits(self, records: list[Record], place: int) -> Iterator[Record]:
        """The rows with a number in column ``place``; the others are rejected."""
        name = self.layout.schema.names[place]
        for record in records:
            text = record.fields[place].strip()
            try:
                pa.scalar(text or None, pa.string()).cast(pa.float64())
                yield record
            except pa.ArrowInvalid:
                reason = f"{name!r} holds {text!r}, but this run writes a number there: rename one of them"
                self._reject(record.number, reason, record.text.strip(b"\r\n"))


class CsvSink:
    """See ``Sink``. Writes ``Lines`` as they are, and record batches as rows below a line with the columns' names."""

    def __init__(self, file: BinaryIO, format: Format, schema: pa.Schema | CsvLayout) -> None:
        self._codec, self._delimiter = format.codec, format.delimiter or ","
        if isinstance(schema, CsvLayout):
            header = schema.header
        else:
            nulls = [pa.nulls(1, kind) for kind in schema.types]
            list(jsonl_arrow.list_columns(pa.RecordBatch.from_arrays(nulls, schema.names)))  # refuses what has no text
            header = write_rows([[name] for name in schema.names], self._delimiter)
        self._file = pack(file, format.codec)
        self._file.write(header)

    def write(self, payload: Any) -> None:
        if isinstance(payload, Lines):
            self._file.write(b"".join(payload.texts))
            self._file.write(payload.trailer)
        else:
            columns = jsonl_arrow.list_columns(payload)
            self._file.write(write_rows([_as_plain(column) for column in columns], self._delimiter))

    def close(self) -> None:
        if self._codec:
            self._file.close()

    def abandon(self) -> None:
        with suppress(OSError, ValueError):
            self.close()


def _as_plain(column: list[Any]) -> list[Any]:
    """``column`` with JSON in place of lists and objects, and base64 in place of bytes."""
    plain = (str, int, float, type(None))
    return [value if isinstance(value, plain) else jsonl_arrow.as_json_text(value) for value in column]
