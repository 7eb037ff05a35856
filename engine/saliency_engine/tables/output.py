"""Output tables: written beside their place under a lock, and moved there only when whole."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, BinaryIO

import pyarrow as pa

from saliency_engine.errors import OutputError
from saliency_engine.storage.atomic import PartialFile, forget_buffered
from saliency_engine.tables.arrow_ipc import ArrowSink
from saliency_engine.tables.csv_edit import CsvLayout
from saliency_engine.tables.csv_table import CsvSink
from saliency_engine.tables.formats import Format, Sink, of_path
from saliency_engine.tables.jsonl import LineSink
from saliency_engine.tables.parquet import ParquetSink

_SINKS: dict[str, Callable[[BinaryIO, Format, pa.Schema | CsvLayout | None], Sink]] = {
    "jsonl": LineSink,
    "csv": CsvSink,
    "parquet": ParquetSink,
    "arrow": ArrowSink,
    "stream": ArrowSink,
}
_TEXT = ("jsonl", "csv")


def choose_format(path: str, pipe_format: str, input_format: Format) -> Format:
    """The format of the output ``path`` for an input in ``input_format``.

    A file's suffix says it; a Parquet file takes the codec of a Parquet input. A pipe (``-``) has ``pipe_format``:
    ``jsonl``, ``csv``, ``arrow`` (a stream), or ``auto``, which is the input's where that is JSON lines or CSV, and a
    stream otherwise. Raises ``ConfigError`` for an unknown suffix.
    """
    if path != "-":
        chosen = of_path(path, "output")
        both_parquet = chosen.kind == input_format.kind == "parquet"
        return dataclasses.replace(chosen, codec=input_format.codec) if both_parquet else chosen
    if pipe_format == "auto":
        kind = "jsonl" if input_format.kind == "clips" else input_format.kind
        return Format(kind if kind in _TEXT else "stream")
    return Format("jsonl") if pipe_format == "jsonl" else Format("csv") if pipe_format == "csv" else Format("stream")


def needs_batches(before: Format, path: str, pipe_format: str) -> bool:
    """Whether rows in the format ``before`` become record batches on their way to the output ``path``.

    They do not where both are JSON lines, or both CSV by the same suffix: then they keep their bytes. Raises
    ``ConfigError`` for an unknown suffix.
    """
    after = choose_format(path, pipe_format, before)
    return before.kind not in _TEXT or (before.kind, before.delimiter) != (after.kind, after.delimiter)


class Output:
    """An open output table: ``write`` its rows in order, then ``commit``; see ``open_output``."""

    def __init__(self, name: str, sink: Sink, file: BinaryIO, partial: PartialFile | None) -> None:
        self.rows = 0
        """Rows written so far."""
        self._name, self._sink, self._file, self._partial = name, sink, file, partial

    def write(self, payload: Any) -> None:
        """Append a ``pyarrow.RecordBatch`` or ``Lines``. Raises ``OutputError`` with path and cause."""
        with _writing(self._name, self._file):
            self._sink.write(payload)
        self.rows += payload.num_rows

    def commit(self, expected_rows: int) -> None:
        """Finish the table and put it in its place, on disk for good when this returns.

        Raises ``OutputError`` where fewer or more than ``expected_rows`` were written, or writing fails.
        """
        if self.rows != expected_rows:
            raise OutputError(
                f"{self._name}: {self.rows} rows were written, but the input says that it has {expected_rows}: it may "
                "be damaged; write it again"
            )
        with _writing(self._name, self._file):
            self._sink.close()
            if not self._file.closed:
                self._file.flush()
            if self._partial is not None:
                self._partial.publish()


@contextmanager
def open_output(
    path: str, format: Format, schema: pa.Schema | CsvLayout | None, stdout: BinaryIO | None = None
) -> Iterator[Output]:
    """Open ``path`` (``-``: ``stdout``, by default the process's own) for rows of ``schema``, as in ``Opened``.

    Until ``commit`` the rows are in ``<path>.partial``, and leaving without it removes that file: whatever is at
    ``path`` stays. Links are followed. Raises ``OutputError`` when the folder is missing, when another run is
    writing there, or when the format cannot hold the schema.
    """
    with ExitStack() as stack:
        name, partial = path, None
        if path == "-":
            name, file = "stdout", stdout or getattr(sys.stdout, "buffer", None)
            if file is None:
                raise OutputError("stdout: it is closed, so --output - cannot write to it")
        else:
            with _writing(name):
                partial = PartialFile.begin(path, stack)
                file = partial.open()
            stack.callback(_close, file)
        with _writing(name, file):
            sink = _SINKS[format.kind](file, format, schema)
        stack.callback(sink.abandon)
        yield Output(name, sink, file, partial)


def _close(file: BinaryIO) -> None:
    with suppress(OSError):  # after a commit nothing is left to write, and without one nothing is to be kept
        file.close()


@contextmanager
def _writing(name: str, file: BinaryIO | None = None) -> Iterator[None]:
    """Turn whatever writing raises into an ``OutputError`` that begins with the table's name."""
    try:
        yield
    except OutputError as error:
        raise OutputError(f"{name}: {error}") from error
    except OSError as error:
        if file is not None:
            forget_buffered(file)
        if isinstance(error, BrokenPipeError):
            raise OutputError(f"{name}: the program that reads from it has ended") from None
        raise OutputError(f"{name}: {error.strerror or error}") from error
    except (pa.ArrowException, UnicodeError) as error:
        raise OutputError(f"{name}: {error}") from error
