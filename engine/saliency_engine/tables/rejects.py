"""Lines that are no rows: kept in a file beside the output, each with its number and the reason."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import orjson

from saliency_engine.errors import ConfigError, OutputError
from saliency_engine.tables import formats
from saliency_engine.tables.jsonl_lines import Lines
from saliency_engine.tables.output import Output, open_output


class Rejects:
    """The rejected lines of one run, which go to the file at ``path`` while that is ``opened``.

    With an empty ``path`` (a pipe without ``--rejects``) there is no such file, and nothing may be added.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.count = 0
        """Lines so far."""
        self.first = ""
        """The number of the first of them, and the reason."""
        self._file: Output | None = None

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Take lines until the end of the block, which must ``commit`` them.

        As with any output, the file is in its place only after the commit. If there are no lines, the file that an
        earlier run left is removed instead. Raises ``OutputError``, and ``ConfigError`` for a name that is not one of
        JSON lines.
        """
        if not self.path:
            yield
            return
        format = formats.of_path(self.path, "rejects")
        if format.kind != "jsonl":
            raise ConfigError(f"--rejects {self.path}: rejected lines are written as JSON lines, so name it .jsonl")
        with open_output(self.path, format, None) as self._file:
            yield
            if not self.count:
                self._remove_older()

    def add(self, number: int, reason: str, line: bytes, rest: Iterable[bytes] | None = None) -> None:
        """Keep line ``number`` (from 1): ``line`` without its line feed, and ``rest``, the pieces of one too long.

        The record has the line as ``text``, or as ``base64`` where it is not UTF-8 or has a ``rest``. To be called
        while the file is ``opened``.
        """
        assert self._file is not None
        self.count += 1
        self.first = self.first or f"line {number}: {reason}"
        record = {"line": number, "reason": reason}
        try:
            if rest is None:
                self._file.write(_make_row(orjson.dumps(record | {"text": line.decode()}) + b"\n"))
                return
        except UnicodeDecodeError:
            pass
        self._file.write(_make_row(orjson.dumps(record)[:-1] + b',"base64":"'))
        for piece in rest or ():
            whole = len(line) // 3 * 3
            self._file.write(_continue_row(base64.b64encode(line[:whole])))
            line = line[whole:] + piece
        self._file.write(_continue_row(base64.b64encode(line) + b'"}\n'))

    def commit(self) -> None:
        """Put the file in its place, if there is anything in it: before the output, which never stands without it."""
        if self._file is not None and self.count:
            self._file.commit(self.count)

    def _remove_older(self) -> None:
        try:
            Path(os.path.realpath(self.path)).unlink(missing_ok=True)
        except OSError as error:
            raise OutputError(
                f"{self.path}: the rejected lines of an earlier run cannot be removed: {error.strerror}"
            ) from error


def _make_row(text: bytes) -> Lines:
    return Lines([text], [frozenset()])


def _continue_row(text: bytes) -> Lines:
    return Lines([], [], text)
