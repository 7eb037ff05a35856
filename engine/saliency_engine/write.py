"""Output tables: written beside their place under a lock, and moved there only when whole."""

from __future__ import annotations

import errno
import fcntl
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa

from saliency_engine import sinks
from saliency_engine.errors import OutputError
from saliency_engine.formats import Format


class Output:
    """An open output table: ``write`` its rows in order, then ``commit``; see ``open_output``."""

    def __init__(self, name: str, sink: sinks.Sink, file: BinaryIO, target: _Target | None) -> None:
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
        name, target, file = path, None, stdout or sys.stdout.buffer
        if path == "-":
            name = "stdout"
        else:
            with _writing(name):
                target = _Target(path)
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
    except BrokenPipeError:
        if file is not None:
            _forget_buffered(file)
        raise OutputError(f"{name}: its reader has gone") from None
    except OSError as error:
        raise OutputError(f"{name}: {error.strerror or error}") from error
    except (pa.ArrowException, UnicodeError) as error:
        raise OutputError(f"{name}: {error}") from error


def _forget_buffered(pipe: BinaryIO) -> None:
    """Point a broken pipe at nothing, or the interpreter would fail on what is left in its buffer when it exits."""
    with suppress(OSError), Path(os.devnull).open("wb") as nothing:
        os.dup2(nothing.fileno(), pipe.fileno())


class _Target:
    """``<path>.partial`` under an exclusive lock. Raises ``OSError``, or ``OutputError`` with the cause."""

    def __init__(self, path: str) -> None:
        self._path = Path(os.path.realpath(path))
        self._partial = self._path.with_name(self._path.name + ".partial")
        if not self._path.parent.is_dir():
            raise OutputError(f"{path}: the folder {self._path.parent} does not exist")
        if self._path.exists() and not self._path.is_file():
            raise OutputError(f"{path}: is there already and is no regular file")
        self._published = False
        self._fd = self._lock(path)
        os.ftruncate(self._fd, 0)

    def _lock(self, path: str) -> int:
        while True:
            fd = os.open(self._partial, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o666)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.path.samestat(os.fstat(fd), self._partial.stat()):
                    return fd
            except BlockingIOError:
                os.close(fd)
                raise OutputError(f"{path}: another run is writing it ({self._partial} is locked)") from None
            except FileNotFoundError:
                pass
            os.close(fd)  # a run that ended in between renamed or removed the file we opened

    def open(self) -> BinaryIO:
        """The file to write to; it shares the lock and may be closed before ``publish``."""
        return os.fdopen(os.dup(self._fd), "wb", buffering=1 << 20)

    def publish(self) -> None:
        os.fsync(self._fd)
        self._partial.rename(self._path)
        self._published = True
        folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        except OSError as error:
            if error.errno != errno.EINVAL:  # some network filesystems cannot, and need not
                raise
        finally:
            os.close(folder)

    def release(self) -> None:
        if not self._published:
            self._partial.unlink(missing_ok=True)
        os.close(self._fd)
