"""Arrow IPC as a table format: files, and streams in files or pipes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa

from saliency_engine.errors import InputError
from saliency_engine.tables.batches import BATCH_BYTES, CheckedBatches, cut_batch, with_position
from saliency_engine.tables.dictionaries import has_dictionary
from saliency_engine.tables.formats import STREAM_MARK, Format, Opened, RawTable

_READ_BYTES = 1 << 24


def open_rows(raw: RawTable) -> Opened:
    """The rows of an IPC file or stream; the first bytes tell which, for many ``.arrow`` files hold a stream.

    Raises ``OSError`` and ``pyarrow.ArrowException``; reading, ``InputError`` too.
    """
    return _open_stream(raw) if raw.stream.peek(4).startswith(STREAM_MARK) else _open_file(raw)


def _open_file(raw: RawTable) -> Opened:
    file = pa.ipc.open_file(raw.files.enter_context(pa.OSFile(raw.path)))
    if Path(raw.path).stat().st_size > BATCH_BYTES * max(file.num_record_batches, 1):
        # Batches larger than ours: mapped, so that the kernel can drop the parts we are done with.
        file = pa.ipc.open_file(raw.files.enter_context(pa.memory_map(raw.path)))
    batches = CheckedBatches(file.get_batch(i) for i in range(file.num_record_batches))

    def pieces() -> Iterator[tuple[float, pa.RecordBatch]]:
        for i, batch in enumerate(batches):
            done = 0
            for piece in cut_batch(batch):
                done += piece.num_rows
                yield (i + done / batch.num_rows) / file.num_record_batches, piece

    return Opened(Format("arrow"), pieces(), lambda: batches.rows, file.schema)


def _open_stream(raw: RawTable) -> Opened:
    stream = _WatchedStream(raw.stream)
    reader = pa.ipc.open_stream(stream)
    batches = CheckedBatches(reader)

    def pieces() -> Iterator[pa.RecordBatch]:
        for batch in batches:
            yield from cut_batch(batch)
        if stream.ended:
            raise InputError("the stream has no end mark: it was cut off, or its writer did not close it")
        if raw.stream.read(1):
            raise InputError("more data follows the end of the stream: if two streams were joined, run them one by one")

    return Opened(Format("stream"), with_position(pieces(), raw.stream), lambda: batches.rows, reader.schema)


class _WatchedStream:
    """A stream that remembers whether its end was met: Arrow takes one that was cut between two batches for whole."""

    def __init__(self, stream: BinaryIO) -> None:
        self.ended = self.closed = False
        self._stream = stream

    def read(self, size: int) -> bytes:
        pieces, left = [], size
        while left and (piece := self._stream.read(min(left, _READ_BYTES))):  # the size is what the data claim
            pieces.append(piece)
            left -= len(piece)
        self.ended = left > 0
        return b"".join(pieces)


class ArrowSink:
    """See ``Sink``. Writes an IPC file or an IPC stream, not compressed."""

    def __init__(self, file: BinaryIO, format: Format, schema: pa.Schema) -> None:
        is_file = format.kind == "arrow"
        make = pa.ipc.new_file if is_file else pa.ipc.new_stream
        self._writer = make(file, schema, options=pa.ipc.IpcWriteOptions(emit_dictionary_deltas=is_file))
        self._growing = [i for i, field in enumerate(schema) if is_file and has_dictionary(field.type)]
        self._last: dict[int, pa.Array] = {}  # no rows, only dictionaries

    def write(self, payload: pa.RecordBatch) -> None:
        if self._growing:
            payload = self._extend_dictionaries(payload)
        self._writer.write_batch(payload)

    def close(self) -> None:
        self._writer.close()

    def abandon(self) -> None:
        """Do nothing: closing would mark the end of a stream that was cut off."""

    def _extend_dictionaries(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """``batch`` with each dictionary begun as the last batch's: a file may extend a dictionary, not replace it."""
        columns = list(batch.columns)
        for i, last in self._last.items():
            with suppress(pa.ArrowException):  # not all can be united; if they differ the writer says so
                columns[i] = pa.chunked_array([last, columns[i]]).unify_dictionaries().chunk(1)
        self._last = {i: columns[i].slice(0, 0) for i in self._growing}
        return pa.RecordBatch.from_arrays(columns, schema=batch.schema)
