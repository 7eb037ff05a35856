"""How the bytes of each input format become rows, piece by piece."""

from __future__ import annotations

import io
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from saliency_engine.config import TableJob
from saliency_engine.errors import InputError
from saliency_engine.tables import formats, jsonl_arrow, jsonl_schema
from saliency_engine.tables.batches import BATCH_BYTES, BATCH_ROWS, Sound, slices
from saliency_engine.tables.formats import Format
from saliency_engine.tables.jsonl_lines import LineReader, ParsedLines, Reject
from saliency_engine.tables.rejects import Rejects

_READ_BUFFER = 1 << 16  # of each column: four times as much cost 20 MB more at 60 columns, and was no faster
_PIECE_BYTES = 1 << 24
_ARROW_CHUNK_BYTES = 1 << 20  # of lines, for a batch: every column of every batch has its cost

_LineColumns = Mapping[str, frozenset[type]]


@dataclass(frozen=True)
class Opened:
    """A table ready to be read: ``pieces`` gives (how far we are in [0, 1] or ``None``, the next rows).

    ``counted`` says, after the last piece, how many rows the input has by its own account.
    """

    format: Format
    pieces: Iterator[tuple[float | None, pa.RecordBatch | ParsedLines]]
    counted: Callable[[], int]
    schema: pa.Schema | None = None
    rows_total: int | None = None


def open_source(
    job: TableJob, stdin: BinaryIO | None, files: ExitStack, columns: _LineColumns, rejects: Rejects
) -> tuple[Opened, Format]:
    """``job.input``, to be closed with ``files``, and the format of ``job.output``.

    ``columns`` and ``rejects`` are for JSON lines: see ``LineReader``. Raises ``ConfigError``, ``InputError``,
    ``OSError`` and ``pyarrow.ArrowException``.
    """
    raw: Any
    if job.input == "-":
        stdin = stdin or getattr(sys.stdin, "buffer", None)
        if stdin is None:
            raise InputError("stdin is closed")
        pipe = formats.Rewound(stdin)
        source = formats.of_stream(pipe.head)
        raw = files.enter_context(io.BufferedReader(pipe, 1 << 20))
    else:
        source = formats.of_path(job.input, "input")
        raw = files.enter_context(open(job.input, "rb", buffering=1 << 20))  # noqa: PTH123, SIM115  a callback closes it
    keeps_lines = formats.of_output(job, source).kind == "jsonl"  # an unknown output suffix fails here, early
    if source.kind == "parquet":
        opened = _parquet(files.enter_context(pa.OSFile(job.input)))
    elif source.kind == "jsonl":
        open_lines = _lines if keeps_lines else _lines_as_arrow
        opened = open_lines(raw, source, files, columns, rejects)
    elif raw.peek(4).startswith(formats.STREAM_MARK):  # many .arrow files hold a stream
        opened = _arrow_stream(raw)
    else:
        opened = _arrow_file(job.input, files)
    return opened, formats.of_output(job, opened.format)


def _lines(raw: BinaryIO, source: Format, _: ExitStack, columns: _LineColumns, rejects: Rejects) -> Opened:
    reader = LineReader(formats.unpack(raw, source.codec), columns, rejects.add)
    return Opened(source, _with_position(reader, raw), lambda: reader.rows)


def _lines_as_arrow(raw: BinaryIO, source: Format, files: ExitStack, columns: _LineColumns, rejects: Rejects) -> Opened:
    if not raw.seekable():
        spool = files.enter_context(tempfile.TemporaryFile())  # noqa: SIM115  as above
        shutil.copyfileobj(raw, spool, 1 << 20)
        spool.flush()
        raw = spool
    before = os.fstat(raw.fileno())

    def reader(reject: Reject) -> LineReader:
        raw.seek(0)
        stream = formats.unpack(raw, source.codec)
        files.callback(stream.close)  # not before the second reading: closing a stream closes ``raw`` too
        loads, exact = jsonl_schema.plain_loads, jsonl_schema.loads
        return LineReader(stream, columns, reject, loads=loads, exact=exact, chunk_bytes=_ARROW_CHUNK_BYTES)

    found = jsonl_schema.infer(reader(rejects.foresee))
    again = reader(rejects.add)

    def batches() -> Iterator[pa.RecordBatch]:
        yield from (jsonl_arrow.to_batch(chunk, found, rejects.add) for chunk in again if chunk.rows)
        after = os.fstat(raw.fileno())
        if (after.st_size, after.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
            raise InputError("was changed while it was being read; the schema of its lines is no longer theirs")

    return Opened(source, _with_position(batches(), raw), lambda: again.rows, found)


def _parquet(raw: pa.NativeFile) -> Opened:
    # Read ahead by column, not by row group: a 60 MB file took 60 MB more otherwise, and no less time.
    file = pq.ParquetFile(raw, buffer_size=_READ_BUFFER, pre_buffer=False, page_checksum_verification=True)
    metadata = file.metadata
    groups = [metadata.row_group(i) for i in range(metadata.num_row_groups)]
    row_bytes = max((group.total_byte_size / group.num_rows for group in groups if group.num_rows), default=1.0)
    rows = min(BATCH_ROWS, max(1, int(BATCH_BYTES / max(row_bytes, 1))))

    def pieces() -> Iterator[tuple[float, pa.RecordBatch]]:
        done = 0
        for batch in Sound(file.iter_batches(rows, use_threads=False)):
            done += batch.num_rows
            yield min(1.0, done / max(1, metadata.num_rows)), batch  # the file may be wrong about their number

    columns = groups[0].num_columns if groups else 0
    if columns:
        # PyArrow 26 aborts the process where it is asked about a column whose description is damaged; reading from the
        # column finds the damage first, and raises.
        next(iter(file.reader.iter_batches(1, row_groups=[0], column_indices=[0], use_threads=False)), None)
    codec = groups[0].column(0).compression.lower() if columns else "snappy"
    format, total = Format("parquet", codec), metadata.num_rows
    return Opened(format, pieces(), lambda: total, file.schema_arrow, total)


def _arrow_file(path: str, files: ExitStack) -> Opened:
    file = pa.ipc.open_file(files.enter_context(pa.OSFile(path)))
    if Path(path).stat().st_size > BATCH_BYTES * max(file.num_record_batches, 1):
        # Batches larger than ours: mapped, so that the kernel can drop the slices we are done with.
        file = pa.ipc.open_file(files.enter_context(pa.memory_map(path)))
    batches = Sound(file.get_batch(i) for i in range(file.num_record_batches))

    def pieces() -> Iterator[tuple[float, pa.RecordBatch]]:
        for i, batch in enumerate(batches):
            done = 0
            for piece in slices(batch):
                done += piece.num_rows
                yield (i + done / batch.num_rows) / file.num_record_batches, piece

    return Opened(Format("arrow"), pieces(), lambda: batches.rows, file.schema)


def _arrow_stream(raw: BinaryIO) -> Opened:
    watched = _Watched(raw)
    reader = pa.ipc.open_stream(watched)
    batches = Sound(reader)

    def pieces() -> Iterator[pa.RecordBatch]:
        for batch in batches:
            yield from slices(batch)
        if watched.ended:
            raise InputError("the stream has no end mark: it was cut off, or its writer did not close it")
        if raw.read(1):
            raise InputError("more data follows the end of the stream: were two joined?")

    return Opened(Format("stream"), _with_position(pieces(), raw), lambda: batches.rows, reader.schema)


class _Watched:
    """A file that remembers whether its end was met: Arrow takes a stream cut between two batches for a whole one."""

    def __init__(self, file: BinaryIO) -> None:
        self.ended = self.closed = False
        self._file = file

    def read(self, size: int) -> bytes:
        pieces, left = [], size
        while left and (piece := self._file.read(min(left, _PIECE_BYTES))):  # the size is what the stream claims
            pieces.append(piece)
            left -= len(piece)
        self.ended = left > 0
        return b"".join(pieces)


def _with_position(pieces: Iterable[Any], raw: BinaryIO) -> Iterator[tuple[float | None, Any]]:
    status = os.fstat(raw.fileno()) if raw.seekable() else None
    size = status.st_size if status and stat.S_ISREG(status.st_mode) else 0
    for piece in pieces:
        yield (min(raw.tell() / size, 1.0) if size else None), piece
