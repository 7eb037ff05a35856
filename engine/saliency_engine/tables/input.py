"""Input tables: any known format, from a file or a pipe, read in bounded batches."""

from __future__ import annotations

import dataclasses
import io
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, BinaryIO

import pyarrow as pa

from saliency_engine.errors import InputError
from saliency_engine.tables import arrow_ipc, csv_table, formats, jsonl, parquet, parquet_parts
from saliency_engine.tables.clip_list import Inputs
from saliency_engine.tables.columns import Columns
from saliency_engine.tables.content_check import check_content
from saliency_engine.tables.csv_edit import CsvLayout
from saliency_engine.tables.csv_table import CsvRows
from saliency_engine.tables.formats import Format, Opened, RawTable
from saliency_engine.tables.jsonl_lines import Lines, Reject
from saliency_engine.tables.line_rows import LineRows
from saliency_engine.tables.reading import naming
from saliency_engine.tables.remote_table import fetch_table
from saliency_engine.tables.rows import ArrowRows
from saliency_engine.types import RowBatch

_READERS: dict[str, Callable[[RawTable], Opened]] = {
    "jsonl": jsonl.open_rows,
    "csv": csv_table.open_rows,
    "parquet": parquet.open_rows,
    "arrow": arrow_ipc.open_rows,
    "stream": arrow_ipc.open_rows,
}
_UNREADABLE = (pa.lib.Type_INTERVAL_MONTHS, pa.lib.Type_INTERVAL_DAY_TIME)


class Table:
    """An open input table; iterating gives its ``RowBatch`` es in order, once. Raises ``InputError`` saying where."""

    def __init__(self, name: str, opened: Opened, views: Sequence[Columns], parts: Sequence[str] = ()) -> None:
        self.format = opened.format
        self.schema = opened.schema
        """``None`` where rows stay JSON lines, a ``CsvLayout`` where they stay CSV."""
        self.parts = parts
        """The Parquet files that are this table together; none where it is not in parts."""
        self.sha256 = opened.sha256
        """Of a remote table, in hex; else empty."""
        self.rows_total = opened.rows_total
        """``None`` where the format does not say it before the end."""
        self.fraction: float | None = None
        """How much of the input has been read, in [0, 1]; ``None`` where that cannot be known."""
        self.count_rows = opened.count_rows
        """To be called at the end: how many rows the input has by its own account, rejected lines among them."""
        self._name, self._pieces = name, opened.pieces
        with naming(name):
            self._rows: list[Any] = [_choose_rows(self.schema, columns) for columns in views]

    def __iter__(self) -> Iterator[RowBatch[pa.RecordBatch | Lines]]:
        first_row = 0
        while True:
            with naming(self._name):
                self.fraction, piece = next(self._pieces, (1.0, None))
                if piece is None:
                    for rows in self._rows:
                        if isinstance(rows, LineRows):
                            rows.end()
                    return
                batches = [rows.find_clips(piece, first_row) for rows in self._rows]
            yield from batches
            first_row += batches[0].rows


def _choose_rows(schema: pa.Schema | CsvLayout | None, columns: Columns) -> LineRows | CsvRows | ArrowRows:
    if schema is None:
        return LineRows(columns)
    if isinstance(schema, CsvLayout):
        return CsvRows(schema.schema, columns)
    _check_fields(schema)
    return ArrowRows(schema, columns)


@contextmanager
def open_table(
    paths: str | Sequence[str],
    columns: Columns,
    *,
    root: str = "",
    output: str = "",
    lines_as_arrow: bool | Callable[[Format], bool] = False,
    header: bool = True,
    reject: Reject | None = None,
    stdin: BinaryIO | None = None,
    remote: bool | None = None,
    views: Sequence[Columns] = (),
) -> Iterator[Table]:
    """Open the table at ``paths``, or in ``stdin`` (by default the process's own) where that is ``-``.

    Instead of one table, ``paths`` may name a folder of Parquet parts, or clips: folders, patterns, files and text
    files of paths; then the table has one column, in which paths are relative to ``root`` where one is given. In
    folders the file ``output`` is passed over.

    JSON lines and CSV rows keep their bytes, or become record batches where ``lines_as_arrow`` says so, perhaps by the
    table's format. For that JSON lines are read twice, first for their schema; a pipe is kept in a temporary file on
    disk meanwhile. Without ``header`` the columns of CSV are called ``column_1``, ``column_2`` and so on. Lines that
    are no rows go to ``reject``; without it the first one is an ``InputError``. With ``views`` the rows come once for
    each of them, in turns, and its columns say which are kept; ``columns`` must name what all of them write. With
    ``remote`` a table, and clips, may be URLs (``None``: no option allows it); a table is fetched whole into a
    temporary file.

    Raises ``ConfigError`` for an unknown suffix and ``InputError`` for everything else.
    """
    with ExitStack() as files:
        inputs = Inputs([paths] if isinstance(paths, str) else paths, output, remote=remote)
        with naming(inputs.name):
            if inputs.table:
                opened = _open_one(inputs, columns, lines_as_arrow, header, reject, stdin, files)
            elif inputs.parts:
                opened = parquet_parts.open_parts(inputs.parts, inputs.former)
            else:
                views = [_of_clips(view, whole=inputs.are_files) for view in views or [columns]]
                opened = inputs.open_clips(views[0].path, root)
        yield Table(inputs.name, opened, views or [columns], inputs.parts)


def _open_one(  # noqa: PLR0917
    inputs: Inputs,
    columns: Columns,
    lines_as_arrow: bool | Callable[[Format], bool],
    header: bool,
    reject: Reject | None,
    stdin: BinaryIO | None,
    files: ExitStack,
) -> Opened:
    path, sha256 = fetch_table(inputs.table, files) if inputs.is_remote else (inputs.table, "")
    format, stream = _open_checked(path, stdin, files)
    as_arrow = lines_as_arrow(format) if callable(lines_as_arrow) else lines_as_arrow
    raw = RawTable(path, stream, format, columns, as_arrow, header, reject, files)
    return dataclasses.replace(_READERS[format.kind](raw), sha256=sha256)


def _of_clips(columns: Columns, *, whole: bool) -> Columns:
    """``columns`` of a table that is made of the clips that a command names; ``whole``: by their files."""
    columns = dataclasses.replace(columns, path=columns.path or "src")
    return dataclasses.replace(columns, template=None, whole=True) if whole else columns


def _open_checked(path: str, stdin: BinaryIO | None, files: ExitStack) -> tuple[Format, io.BufferedReader]:
    format, stream = _open_stream(path, stdin, files)
    check_content(format, stream)
    return format, stream


def _open_stream(path: str, stdin: BinaryIO | None, files: ExitStack) -> tuple[Format, io.BufferedReader]:
    if path == "-":
        stdin = stdin or getattr(sys.stdin, "buffer", None)
        if stdin is None:
            raise InputError("it is closed, so --input - cannot read from it")
        pipe = formats.Rewound(stdin)
        return formats.of_stream(pipe.head), files.enter_context(io.BufferedReader(pipe, 1 << 20))
    format = formats.of_path(path, "input")
    return format, files.enter_context(io.BufferedReader(io.FileIO(path), 1 << 20))


def _check_fields(fields: Iterable[pa.Field], column: str = "") -> None:
    """Raise now what would otherwise come up in the middle of the run, where Arrow first looks.

    ``UnicodeDecodeError`` for a name that is not UTF-8, ``InputError`` for a type that PyArrow has no arrays of.
    """
    for field in fields:
        own, kind = field.name, field.type  # reading the name is what checks it, inside a column too
        name = column or own
        if kind.id in _UNREADABLE:
            raise InputError(f"column {name!r} holds a {kind}, which PyArrow cannot read: leave the column out")
        inside = [pa.field("", kind.value_type)] if pa.types.is_dictionary(kind) else []
        _check_fields([*inside, *(kind.field(i) for i in range(kind.num_fields))], name)
