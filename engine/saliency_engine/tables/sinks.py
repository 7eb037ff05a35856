"""How rows become the bytes of each output format."""

from __future__ import annotations

import gzip
import io
from contextlib import suppress
from typing import Any, BinaryIO, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from saliency_engine.errors import OutputError
from saliency_engine.tables import jsonl_arrow
from saliency_engine.tables.dictionaries import for_parquet, has_dictionary, schema_for_parquet
from saliency_engine.tables.formats import Format
from saliency_engine.tables.jsonl_lines import Lines

GROUP_ROWS = 65536
GROUP_BYTES = 8 << 20  # groups twice the size cost 15 to 30 MB more and were written no faster


class Sink(Protocol):
    """Writes rows in one format. ``close`` ends the table; ``abandon`` lets go of it, whatever state it is in."""

    def write(self, payload: Any) -> None: ...
    def close(self) -> None: ...
    def abandon(self) -> None: ...


def open_sink(file: BinaryIO, name: str, format: Format, schema: pa.Schema | None) -> Sink:
    """The sink of ``format`` on ``file``, for batches of ``schema`` or, where that is ``None``, for ``Lines``.

    The bytes depend on the rows alone. Raises ``OutputError`` naming ``name`` where two columns would be one key, and
    ``pyarrow.ArrowException`` where the format cannot hold the schema.
    """
    if format.kind == "jsonl":
        twice = sorted(jsonl_arrow.repeated_keys(schema)) if schema is not None else []
        if twice:
            raise OutputError(f"{name}: JSON lines cannot hold two fields named {', '.join(map(repr, twice))}")
        return _LineSink(file, format.codec)
    if format.kind == "parquet":
        return _ParquetSink(file, schema, format.codec or "snappy")
    return _ArrowSink(file, schema, format.kind == "arrow")


class _LineSink:
    def __init__(self, file: BinaryIO, codec: str | None) -> None:
        self._codec, self._packed = codec, file
        if codec == "gzip":
            # Not Arrow's: fixed at level 9 it packs 8 MB/s, this 70. No name and no time, for the same bytes each run.
            self._packed = gzip.GzipFile("", "wb", 6, file, mtime=0)  # type: ignore[assignment]
        elif codec == "zstd":
            self._packed = pa.CompressedOutputStream(pa.PythonFile(file, mode="w"), "zstd")  # closes ``file`` too

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


class _ParquetSink:
    def __init__(self, file: BinaryIO, schema: pa.Schema, codec: str) -> None:
        self._schema = schema_for_parquet(schema)
        self._writer = pq.ParquetWriter(
            file,
            self._schema,
            compression="none" if codec == "uncompressed" else codec,
            use_dictionary=_repeating_columns(self._schema),
            write_page_checksum=True,
        )
        self._batches: list[pa.RecordBatch] = []
        self._rows = self._bytes = 0

    def write(self, payload: pa.RecordBatch) -> None:
        payload = for_parquet(payload, self._schema)
        self._batches.append(payload)
        self._rows += payload.num_rows
        self._bytes += payload.nbytes
        if self._rows >= GROUP_ROWS or self._bytes >= GROUP_BYTES:
            self._write_group()

    def _write_group(self) -> None:
        if self._rows:
            self._writer.write_table(pa.Table.from_batches(self._batches), row_group_size=self._rows)
        self._batches.clear()
        self._rows = self._bytes = 0
        pa.default_memory_pool().release_unused()  # else it keeps some 40 MB of what writing groups took

    def close(self) -> None:
        self._write_group()
        self._writer.close()

    def abandon(self) -> None:
        with suppress(OSError, ValueError, pa.ArrowException):
            self._writer.close()
        self._writer.is_open = False  # or it tries again when collected, and the interpreter prints the failure


def _repeating_columns(schema: pa.Schema) -> list[str]:
    """Leaf columns worth a Parquet dictionary: all but floats, which are rarely equal; writing is 4 times faster so.

    Found in a table of one null row, written and read: what Parquet cannot hold (and what Arrow writes and cannot read)
    is known now and not in the middle of the run.
    """
    probe, nullable = io.BytesIO(), pa.schema([field.with_nullable(True) for field in schema])
    pq.write_table(pa.Table.from_arrays([pa.nulls(1, field.type) for field in nullable], schema=nullable), probe)
    leaves = pq.ParquetFile(probe).metadata.schema
    columns = [leaves.column(i) for i in range(len(leaves))]
    return [column.path for column in columns if column.physical_type not in ("FLOAT", "DOUBLE")]


class _ArrowSink:
    def __init__(self, file: BinaryIO, schema: pa.Schema, is_file: bool) -> None:
        make = pa.ipc.new_file if is_file else pa.ipc.new_stream
        self._writer = make(file, schema, options=pa.ipc.IpcWriteOptions(emit_dictionary_deltas=is_file))
        self._growing = [i for i, field in enumerate(schema) if is_file and has_dictionary(field.type)]
        self._last: dict[int, pa.Array] = {}  # no rows, only dictionaries

    def write(self, payload: pa.RecordBatch) -> None:
        if self._growing:
            payload = self._grown(payload)
        self._writer.write_batch(payload)

    def _grown(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """``batch`` with each dictionary begun as the last batch's: a file may extend a dictionary, not replace it."""
        columns = list(batch.columns)
        for i, last in self._last.items():
            with suppress(pa.ArrowException):  # not all can be united; if they differ the writer says so
                columns[i] = pa.chunked_array([last, columns[i]]).unify_dictionaries().chunk(1)
        self._last = {i: columns[i].slice(0, 0) for i in self._growing}
        return pa.RecordBatch.from_arrays(columns, schema=batch.schema)

    def close(self) -> None:
        self._writer.close()

    def abandon(self) -> None:
        """Nothing: closing would mark the end of a stream that was cut off."""
