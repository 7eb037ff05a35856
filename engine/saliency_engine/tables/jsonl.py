"""JSON lines as a table format: rows that stay lines or become record batches, and rows written as lines."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, BinaryIO

import pyarrow as pa

from saliency_engine.errors import InputError, OutputError
from saliency_engine.tables import jsonl_arrow, jsonl_schema
from saliency_engine.tables.batches import with_position
from saliency_engine.tables.content_check import check_array
from saliency_engine.tables.formats import Format, Opened, RawTable, pack, unpack
from saliency_engine.tables.jsonl_lines import LineReader, Lines, Reject, ignore_line, refuse_line

_ARROW_CHUNK_BYTES = 1 << 20  # of lines, for a record batch: every column of every batch has its cost


def open_rows(raw: RawTable) -> Opened:
    """The rows of JSON lines, as ``ParsedLines`` or, with ``raw.lines_as_arrow``, as record batches of one schema.

    Raises ``OSError`` and ``InputError``, here and while reading.
    """
    if raw.lines_as_arrow:
        return _open_as_arrow(raw)
    stream = unpack(raw.stream, raw.format.codec)
    check_array(raw, stream)
    reader = LineReader(stream, raw.columns.written, raw.reject or refuse_line)
    return Opened(raw.format, with_position(reader, raw.stream), lambda: reader.rows)


def _open_as_arrow(raw: RawTable) -> Opened:
    file: BinaryIO = raw.stream
    if not file.seekable():
        file = raw.files.enter_context(tempfile.TemporaryFile())  # noqa: SIM115  ``files`` closes it
        shutil.copyfileobj(raw.stream, file, 1 << 20)
        file.flush()
    before = os.fstat(file.fileno())

    def unpack_from_start() -> BinaryIO:
        file.seek(0, os.SEEK_END)  # what is buffered goes: it may be of the file as it was
        file.seek(0)
        stream = unpack(file, raw.format.codec)
        raw.files.callback(stream.close)  # not before the last reading: closing it closes ``file`` too
        return stream

    def read_from_start(reject: Reject) -> LineReader:
        loads, exact, stream = jsonl_schema.plain_loads, jsonl_schema.loads, unpack_from_start()
        return LineReader(stream, raw.columns.written, reject, loads=loads, exact=exact, chunk_bytes=_ARROW_CHUNK_BYTES)

    check_array(raw, unpack_from_start())
    # A line that the second reading can keep as rejected is passed over in the first.
    schema = jsonl_schema.infer_schema(read_from_start(ignore_line if raw.reject else refuse_line))
    reject = raw.reject or refuse_line
    reader = read_from_start(reject)

    def batches() -> Iterator[pa.RecordBatch]:
        yield from (jsonl_arrow.to_batch(chunk, schema, reject) for chunk in reader if chunk.rows)
        after = os.fstat(file.fileno())
        if (after.st_size, after.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
            raise InputError("the file was changed while it was being read: run again when nothing writes to it")

    return Opened(raw.format, with_position(batches(), file), lambda: reader.rows, schema)


class LineSink:
    """See ``Sink``. Writes ``Lines`` as they are, and each row of a record batch as a JSON object."""

    def __init__(self, file: BinaryIO, format: Format, schema: pa.Schema | None) -> None:
        repeated = sorted(jsonl_arrow.find_repeated_keys(schema)) if schema is not None else []
        if repeated:
            names = ", ".join(map(repr, repeated))
            raise OutputError(f"JSON lines cannot hold two fields named {names}: rename one, or write Parquet or Arrow")
        if schema is not None:
            # A row of nulls, so that a type without a form in JSON is refused before the first row.
            nulls = [pa.nulls(1, kind) for kind in schema.types]
            list(jsonl_arrow.to_lines(pa.RecordBatch.from_arrays(nulls, schema.names)))
        self._codec, self._packed = format.codec, pack(file, format.codec)

    def write(self, payload: Any) -> None:
        if isinstance(payload, Lines):
            self._packed.write(b"".join(payload.texts))
            self._packed.write(payload.trailer)
        else:
            self._packed.write(b"".join(jsonl_arrow.to_lines(payload)))

    def close(self) -> None:
        if self._codec:
            self._packed.close()

    def abandon(self) -> None:
        with suppress(OSError, ValueError):
            self.close()
