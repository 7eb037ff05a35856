"""Input tables: any known format, from a file or a pipe, read in bounded batches."""

from __future__ import annotations

import io
import json
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from saliency_engine import convert, formats, jsonl
from saliency_engine.config import RunConfig, TableJob
from saliency_engine.errors import InputError
from saliency_engine.formats import Format
from saliency_engine.jsonl import Lines, ParsedLines
from saliency_engine.rows import ArrowRows, LineRows
from saliency_engine.types import RowBatch

BATCH_ROWS = 16384  # larger batches are read and written no faster
BATCH_BYTES = 4 << 20
_READ_BUFFER = 1 << 18
_ARROW_CHUNK_BYTES = 1 << 20  # of lines, for a batch: every column of every batch has its cost


@dataclass(frozen=True)
class _Opened:
    """A table ready to be read: ``pieces`` gives (how far we are in [0, 1] or ``None``, the next rows)."""

    format: Format
    pieces: Iterator[tuple[float | None, pa.RecordBatch | ParsedLines]]
    schema: pa.Schema | None = None
    rows_total: int | None = None


class Table:
    """An open input table; iterating gives its ``RowBatch`` es in order, once.

    ``schema`` is ``None`` when rows stay JSON lines; ``rows_total`` is ``None`` unless the format says it.
    ``output_format`` is the format the job's output has. Iterating raises ``InputError`` saying where.
    """

    def __init__(self, name: str, opened: _Opened, output_format: Format, config: RunConfig) -> None:
        self.schema = opened.schema
        self.rows_total = opened.rows_total
        self.output_format = output_format
        self._name, self._pieces = name, opened.pieces
        self._plan: Callable[[Any, int], RowBatch[Any]]
        with _reading(name):
            self._plan = (LineRows(config) if self.schema is None else ArrowRows(self.schema, config)).plan
        self._fraction: float | None = None

    def __iter__(self) -> Iterator[RowBatch[pa.RecordBatch | Lines]]:
        first_row = 0
        while True:
            with _reading(self._name):
                self._fraction, piece = next(self._pieces, (1.0, None))
                if piece is None:
                    return
                batch = self._plan(piece, first_row)
            yield batch
            first_row += batch.rows

    def fraction(self) -> float | None:
        """How much of the input has been read, in [0, 1]; ``None`` when that cannot be known."""
        return self._fraction


@contextmanager
def open_table(job: TableJob, config: RunConfig, stdin: BinaryIO | None = None) -> Iterator[Table]:
    """Open ``job.input`` (``-``: ``stdin``, by default the process's own) for the format of ``job.output``.

    JSON lines that go to an Arrow format are read twice, first for their schema (a pipe is kept in a temporary
    file on disk meanwhile). Raises ``ConfigError`` for an unknown suffix and ``InputError`` for the rest.
    """
    with ExitStack() as files:
        name = "stdin" if job.input == "-" else job.input
        with _reading(name):
            opened, output_format = _open(job, stdin, name, files)
        yield Table(name, opened, output_format, config)


@contextmanager
def _reading(name: str) -> Iterator[None]:
    try:
        yield
    except InputError as error:
        raise error if str(error).startswith(name) else InputError(f"{name}: {error}") from error
    except FileNotFoundError:
        raise InputError(f"{name}: no such file") from None
    except OSError as error:
        raise InputError(f"{name}: {error.strerror or error}") from error
    except pa.ArrowException as error:
        raise InputError(f"{name}: {error}") from error


def _open(job: TableJob, stdin: BinaryIO | None, name: str, files: ExitStack) -> tuple[_Opened, Format]:
    raw: Any
    if job.input == "-":
        pipe = formats.Rewound(stdin or sys.stdin.buffer)
        source = formats.of_stream(pipe.head)
        raw = files.enter_context(io.BufferedReader(pipe, 1 << 20))
    else:
        source = formats.of_path(job.input, "input")
        raw = files.enter_context(open(job.input, "rb", buffering=1 << 20))  # noqa: PTH123, SIM115  a callback closes it
    keeps_lines = formats.of_output(job, source).kind == "jsonl"  # an unknown output suffix fails here, early
    if source.kind == "parquet":
        opened = _open_parquet(files.enter_context(pa.OSFile(job.input)))
    elif source.kind == "jsonl":
        opened = _open_lines(raw, source, name) if keeps_lines else _open_lines_as_arrow(raw, source, name, files)
    elif raw.peek(4).startswith(formats.STREAM_MARK):  # many .arrow files hold a stream
        opened = _open_arrow_stream(raw)
    else:
        opened = _open_arrow_file(job.input, files)
    return opened, formats.of_output(job, opened.format)


def _open_lines(raw: BinaryIO, source: Format, name: str) -> _Opened:
    chunks = jsonl.read_lines(formats.unpack(raw, source.codec), name)
    return _Opened(source, _with_position(chunks, raw))


def _open_lines_as_arrow(raw: BinaryIO, source: Format, name: str, files: ExitStack) -> _Opened:
    if not raw.seekable():
        spool = files.enter_context(tempfile.TemporaryFile())  # noqa: SIM115  as above
        shutil.copyfileobj(raw, spool, 1 << 20)
        raw = spool
    passes = []
    for _ in range(2):  # json.loads keeps integers whole that orjson would round to floats
        raw.seek(0)
        stream = formats.unpack(raw, source.codec)
        files.callback(stream.close)  # not before the second pass: closing a stream closes ``raw`` too
        passes.append(jsonl.read_lines(stream, name, json.loads, _ARROW_CHUNK_BYTES))
        if len(passes) == 1:
            schema = convert.infer_schema(passes[0], name)
    batches = (convert.to_batch(chunk, schema, name) for chunk in passes[1] if chunk.rows)
    return _Opened(source, _with_position(batches, raw), schema)


def _open_parquet(raw: pa.NativeFile) -> _Opened:
    # Read ahead by column, not by row group: a 60 MB file took 60 MB more otherwise, and no less time.
    file = pq.ParquetFile(raw, buffer_size=_READ_BUFFER, pre_buffer=False, page_checksum_verification=True)
    metadata = file.metadata
    groups = [metadata.row_group(i) for i in range(metadata.num_row_groups)]
    row_bytes = max((group.total_byte_size / group.num_rows for group in groups if group.num_rows), default=1.0)
    rows = min(BATCH_ROWS, max(1, int(BATCH_BYTES / max(row_bytes, 1))))

    def pieces() -> Iterator[tuple[float, pa.RecordBatch]]:
        done = 0
        for batch in file.iter_batches(rows, use_threads=False):
            done += batch.num_rows
            yield done / metadata.num_rows, batch

    columns = groups[0].num_columns if groups else 0
    codec = groups[0].column(0).compression.lower() if columns else "snappy"
    return _Opened(Format("parquet", codec), pieces(), file.schema_arrow, metadata.num_rows)


def _open_arrow_file(path: str, files: ExitStack) -> _Opened:
    file = pa.ipc.open_file(files.enter_context(pa.OSFile(path)))
    if Path(path).stat().st_size > BATCH_BYTES * max(file.num_record_batches, 1):
        # Batches larger than ours: mapped, so that the kernel can drop the slices we are done with.
        file = pa.ipc.open_file(files.enter_context(pa.memory_map(path)))

    def pieces() -> Iterator[tuple[float, pa.RecordBatch]]:
        for i in range(file.num_record_batches):
            batch, done = file.get_batch(i), 0
            for piece in _slices(batch):
                done += piece.num_rows
                yield (i + done / batch.num_rows) / file.num_record_batches, piece

    return _Opened(Format("arrow"), pieces(), file.schema)


def _open_arrow_stream(raw: BinaryIO) -> _Opened:
    reader = pa.ipc.open_stream(raw)
    slices = (piece for batch in reader for piece in _slices(batch))
    return _Opened(Format("stream"), _with_position(slices, raw), reader.schema)


def _slices(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    if not batch.num_rows:
        return
    rows = min(BATCH_ROWS, max(1, BATCH_BYTES * batch.num_rows // max(batch.nbytes, 1)))
    for start in range(0, batch.num_rows, rows):
        yield batch.slice(start, rows)


def _with_position(pieces: Iterator[Any], raw: BinaryIO) -> Iterator[tuple[float | None, Any]]:
    status = os.fstat(raw.fileno()) if raw.seekable() else None
    size = status.st_size if status and stat.S_ISREG(status.st_mode) else 0
    for piece in pieces:
        yield (min(raw.tell() / size, 1.0) if size else None), piece
