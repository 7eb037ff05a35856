"""Output tables: written beside their place under a lock, and moved there only when whole."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, BinaryIO

import pyarrow as pa

from saliency_engine.errors import OutputError
from saliency_engine.storage.atomic import Target, forget_buffered
from saliency_engine.tables import sinks
from saliency_engine.tables.formats import Format


class Output:
    """An open output table: ``write`` its rows in order, then ``commit``; see ``open_output``."""

    def __init__(self, name: str, sink: sinks.Sink, file: BinaryIO, target: Target | None) -> None:
        self.rows = 0
        self._name, self._sink, self._file, self._target = name, sink, file, target

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
            raise OutputError(f"{self._name}: {self.rows} rows were written, the input has {expected_rows}")
        with _writing(self._name, self._file):
            self._sink.close()
            if not self._file.closed:
                self._file.flush()
            if self._target is not None:
                self._target.publish()


@contextmanager
def open_output(
    path: str, format: Format, schema: pa.Schema | None, stdout: BinaryIO | None = None
) -> Iterator[Output]:
    """Open ``path`` (``-``: ``stdout``, by default the process's own) for rows of ``schema`` (``None``: JSON lines).

    Until ``commit`` the rows are in ``<path>.partial``, and leaving without it removes that file: whatever is at
    ``path`` stays. Links are followed. Raises ``OutputError`` when the folder is missing, when another run is
    writing there, or when the format cannot hold the schema.
    """
    with ExitStack() as stack:
        name, target = path, None
        if path == "-":
            name, file = "stdout", stdout or getattr(sys.stdout, "buffer", None)
            if file is None:
                raise OutputError("stdout: is closed")
        else:
            with _writing(name):
                target = Target(path)
                stack.callback(target.release)
                file = target.open()
            stack.callback(_close, file)
        with _writing(name, file):
            sink = sinks.open_sink(file, name, format, schema)
        stack.callback(sink.abandon)
        yield Output(name, sink, file, target)


def _close(file: BinaryIO) -> None:
    with suppress(OSError):  # after a commit nothing is left to write, and without one nothing is to be kept
        file.close()


@contextmanager
def _writing(name: str, file: BinaryIO | None = None) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if file is not None:
            forget_buffered(file)
        if isinstance(error, BrokenPipeError):
            raise OutputError(f"{name}: its reader has gone") from None
        raise OutputError(f"{name}: {error.strerror or error}") from error
    except (pa.ArrowException, UnicodeError) as error:
        raise OutputError(f"{name}: {error}") from error
