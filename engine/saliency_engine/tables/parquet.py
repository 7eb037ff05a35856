"""Parquet files as a table format."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from saliency_engine.errors import OutputError
from saliency_engine.tables.batches import BATCH_BYTES, BATCH_ROWS, CheckedBatches
from saliency_engine.tables.dictionaries import decode_dictionary, encode_dictionary
from saliency_engine.tables.formats import Format, Opened, RawTable
from saliency_engine.tables.parquet_types import choose_int96_unit, fit_columns, fit_schema_in
from saliency_engine.tables.times import check_for_parquet, has_times

GROUP_ROWS = 65536
GROUP_BYTES = 8 << 20  # groups twice the size cost 15 to 30 MB more and were written no faster
_READ_BUFFER = 1 << 16  # of each column: four times as much cost 20 MB more at 60 columns, and was no faster


def open_rows(raw: RawTable) -> Opened:
    """See ``open_file``."""
    return open_file(raw.path, raw.files)


def open_file(path: str, files: ExitStack) -> Opened:
    """The rows of a Parquet file, which ``files`` closes.

    Raises ``OSError`` and ``pyarrow.ArrowException``; reading, ``InputError`` too.
    """
    reopen = partial(_make_reader, path, files)
    file = reopen(None)
    metadata = file.metadata
    groups = [metadata.row_group(i) for i in range(metadata.num_row_groups)]
    row_bytes = max((group.total_byte_size / group.num_rows for group in groups if group.num_rows), default=1.0)
    rows = min(BATCH_ROWS, max(1, int(BATCH_BYTES / max(row_bytes, 1))))

    columns = groups[0].num_columns if groups else 0
    if columns:
        # PyArrow 26 aborts the process where it is asked about a column whose description is damaged; reading from the
        # column finds the damage first, and raises.
        next(iter(file.reader.iter_batches(1, row_groups=[0], column_indices=[0], use_threads=False)), None)
    if unit := choose_int96_unit(file, reopen, rows):
        file = reopen(unit)
    schema = fit_schema_in(file)

    def pieces() -> Iterator[tuple[float, pa.RecordBatch]]:
        done = 0
        for batch in CheckedBatches(file.iter_batches(rows, use_threads=False)):
            done += batch.num_rows
            fitted = fit_columns(batch, schema)
            yield min(1.0, done / max(1, metadata.num_rows)), fitted  # the file may be wrong about their number

    codec = groups[0].column(0).compression.lower() if columns else "snappy"
    total = metadata.num_rows
    return Opened(Format("parquet", codec), pieces(), lambda: total, schema, total)


def _make_reader(path: str, files: ExitStack, int96_unit: str | None) -> pq.ParquetFile:
    # Read ahead by column, not by row group: a 60 MB file took 60 MB more otherwise, and no less time.
    return pq.ParquetFile(
        files.enter_context(pa.OSFile(path)),
        buffer_size=_READ_BUFFER,
        pre_buffer=False,
        page_checksum_verification=True,
        coerce_int96_timestamp_unit=int96_unit,
    )


class ParquetSink:
    """See ``Sink``. Row groups end with a batch, after ``GROUP_ROWS`` rows or ``GROUP_BYTES``."""

    def __init__(self, file: BinaryIO, format: Format, schema: pa.Schema) -> None:
        codec = format.codec or "snappy"
        self._schema = fit_schema(schema)
        self._writer = pq.ParquetWriter(
            file,
            self._schema,
            compression="none" if codec == "uncompressed" else codec,
            use_dictionary=_repeating_columns(self._schema),
            write_page_checksum=True,
        )
        self._times = [i for i, kind in enumerate(self._schema.types) if has_times(kind)]
        self._batches: list[pa.RecordBatch] = []
        self._rows = self._bytes = 0

    def write(self, payload: pa.RecordBatch) -> None:
        payload = fit_batch(payload, self._schema)
        for i in self._times:
            check_for_parquet(self._schema.names[i], payload.column(i))
        self._batches.append(payload)
        self._rows += payload.num_rows
        self._bytes += payload.nbytes
        if self._rows >= GROUP_ROWS or self._bytes >= GROUP_BYTES:
            self._write_group()

    def close(self) -> None:
        self._write_group()
        self._writer.close()

    def abandon(self) -> None:
        with suppress(OSError, ValueError, pa.ArrowException):
            self._writer.close()
        self._writer.is_open = False  # or it tries again when collected, and the interpreter prints the failure

    def _write_group(self) -> None:
        if self._rows:
            table = pa.Table.from_batches(self._batches)
            with _naming_column(table):
                self._writer.write_table(table, row_group_size=self._rows)
        self._batches.clear()
        self._rows = self._bytes = 0
        pa.default_memory_pool().release_unused()  # else it keeps some 40 MB of what writing groups took


def _repeating_columns(schema: pa.Schema) -> list[str]:
    """Leaf columns worth a Parquet dictionary: all but floats, which are rarely equal; writing is 4 times faster so.

    They are read off a table of one null row, written and read: what Parquet cannot hold (and what Arrow writes and
    cannot read) is known now and not in the middle of the run.
    """
    probe, nullable = io.BytesIO(), pa.schema([field.with_nullable(True) for field in schema])
    table = pa.Table.from_arrays([pa.nulls(1, field.type) for field in nullable], schema=nullable)
    with _naming_column(table):
        pq.write_table(table, probe)
        leaves = pq.ParquetFile(probe).metadata.schema
    columns = [leaves.column(i) for i in range(len(leaves))]
    return [column.path for column in columns if column.physical_type not in ("FLOAT", "DOUBLE")]


@contextmanager
def _naming_column(table: pa.Table) -> Iterator[None]:
    """Have the first column of ``table`` that cannot be written named in the error."""
    try:
        yield
    except (pa.ArrowException, OSError):
        for i, name in enumerate(table.schema.names):
            probe = io.BytesIO()
            try:
                pq.write_table(table.select([i]), probe)
                pq.ParquetFile(probe)
            except (pa.ArrowException, OSError) as error:
                raise OutputError(f"column {name!r}: {error}") from error
        raise


def fit_schema(schema: pa.Schema) -> pa.Schema:
    """``schema`` as Parquet can hold it: dictionaries of text and bytes stay, others become columns of their values."""
    fields = [
        field.with_type(field.type.value_type)
        if pa.types.is_dictionary(field.type) and not _is_of_text(field.type)
        else field
        for field in schema
    ]
    return pa.schema(fields, schema.metadata)


def fit_batch(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """``batch`` in ``fit_schema``'s ``schema``, without nulls among a dictionary's values: Parquet has none."""
    columns = list(batch.columns)
    for i, column in enumerate(columns):
        if pa.types.is_dictionary(column.type) and not pa.types.is_dictionary(schema.field(i).type):
            columns[i] = decode_dictionary(column)
        elif pa.types.is_dictionary(column.type) and column.dictionary.null_count:
            columns[i] = encode_dictionary(decode_dictionary(column), column.type)
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _is_of_text(kind: pa.DictionaryType) -> bool:
    """Whether a dictionary's values are text or bytes."""
    types, value = pa.types, kind.value_type
    return bool(
        types.is_string(value) or types.is_large_string(value) or types.is_binary(value) or types.is_large_binary(value)
    )
