"""Table formats: how a table's format is known, and what each format's module takes and gives.

A format is one module with ``open_rows(RawTable) -> Opened`` and a ``Sink``. It is entered in ``SUFFIXES`` below, in
``input`` as a reader and in ``output`` as a writer.
"""

from __future__ import annotations

import codecs
import gzip
import io
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, BinaryIO, Literal, Protocol

import pyarrow as pa

from saliency_engine.errors import ConfigError, InputError
from saliency_engine.tables.columns import Columns
from saliency_engine.tables.csv_edit import CsvLayout
from saliency_engine.tables.jsonl_lines import Reject


@dataclass(frozen=True, slots=True)
class Format:
    """How a table is laid out in bytes."""

    kind: Literal["jsonl", "csv", "parquet", "arrow", "stream", "clips"]
    """JSON lines, CSV or TSV, a Parquet file, an Arrow IPC file, an Arrow IPC stream, or clips without a table."""
    codec: str | None = None
    """``gzip`` or ``zstd`` around text, or the codec of a Parquet file's columns; ``None``: the default one."""
    delimiter: str = ""
    """What stands between the fields of CSV; empty: what the file has, and a comma in a new one."""


@dataclass(frozen=True)
class RawTable:
    """An input table whose rows are still bytes: what a format's ``open_rows`` is given."""

    path: str
    """The file, or ``-`` for a pipe: then only ``stream`` can be read from."""
    stream: io.BufferedReader
    """The table's bytes, from the first one on."""
    format: Format
    columns: Columns
    lines_as_arrow: bool
    """Whether JSON lines and CSV rows become record batches; otherwise they keep their bytes."""
    header: bool
    """Whether CSV begins with a line that names the columns."""
    reject: Reject | None
    """Takes each line that is no row; ``None``: the first such line is an ``InputError``."""
    files: ExitStack
    """Closes what is opened beside ``stream``."""


@dataclass(frozen=True)
class Opened:
    """An input table that is ready to be read."""

    format: Format
    """As its bytes are, whatever its name says: many ``.arrow`` files hold a stream."""
    pieces: Iterator[tuple[float | None, Any]]
    """(how much of the input has been read, in [0, 1], or ``None`` where that cannot be known; the next rows, as a
    ``pyarrow.RecordBatch``, ``ParsedLines`` or ``CsvChunk``)."""
    count_rows: Callable[[], int]
    """After the last piece: how many rows the input has by its own account, rejected lines among them."""
    schema: pa.Schema | CsvLayout | None = None
    """``None`` where rows stay JSON lines, a ``CsvLayout`` where they stay CSV."""
    rows_total: int | None = None
    """The number of rows, where the format says it at once."""
    sha256: str = ""
    """Of a table that was fetched, in hex."""


class Sink(Protocol):
    """Writes rows in one format: ``Sink(file, format, schema)``, where ``schema`` is as in ``Opened``.

    The bytes depend on the rows alone. ``close`` ends the table; ``abandon`` lets go of it, whatever state it is in.
    Making one raises ``OutputError`` or ``pyarrow.ArrowException`` where the format cannot hold ``schema``.
    """

    def write(self, payload: Any) -> None: ...
    def close(self) -> None: ...
    def abandon(self) -> None: ...


SUFFIXES = {
    ".jsonl": Format("jsonl"),
    ".jsonl.gz": Format("jsonl", "gzip"),
    ".jsonl.zst": Format("jsonl", "zstd"),
    ".ndjson": Format("jsonl"),
    ".ndjson.gz": Format("jsonl", "gzip"),
    ".ndjson.zst": Format("jsonl", "zstd"),
    ".csv": Format("csv"),
    ".csv.gz": Format("csv", "gzip"),
    ".csv.zst": Format("csv", "zstd"),
    ".tsv": Format("csv", delimiter="\t"),
    ".tsv.gz": Format("csv", "gzip", "\t"),
    ".tsv.zst": Format("csv", "zstd", "\t"),
    ".parquet": Format("parquet"),
    ".pq": Format("parquet"),
    ".arrow": Format("arrow"),
    ".feather": Format("arrow"),
}
_NOT_FROM_A_PIPE = {
    b"ARROW1": "an Arrow IPC file",
    b"PAR1": "a Parquet file",
    b"\x1f\x8b": "gzip data",
    b"\x28\xb5\x2f\xfd": "zstd data",
}
_BLANKS = b" \t\r\n"
_MOST_BLANKS = 1 << 12
_JSON_STARTS = (b"", b"{", b"[")
"""What JSON lines begin with, rows or not; what begins otherwise is CSV, whose first line has the columns' names."""
STREAM_MARK = b"\xff\xff\xff\xff"  # every message of an IPC stream begins with it since Arrow 0.15


def is_table(path: str) -> bool:
    """Whether ``path``'s suffix is that of a table."""
    return PurePath(path).name.lower().endswith(tuple(SUFFIXES))


def strip_suffix(path: str) -> str:
    """The name of the table at ``path`` without its folder and its suffix."""
    name = PurePath(path).name
    suffix = next((suffix for suffix in SUFFIXES if name.lower().endswith(suffix)), "")
    return name[: len(name) - len(suffix)]


def of_path(path: str, option: str) -> Format:
    """The format that ``path``'s suffix names; raises ``ConfigError`` naming ``option`` and the known suffixes."""
    name = PurePath(path).name.lower()
    for suffix, known in SUFFIXES.items():
        if name.endswith(suffix):
            return known
    raise ConfigError(f"--{option} {path}: unknown suffix; known are {' '.join(SUFFIXES)}, and - for a pipe")


def of_stream(head: bytes) -> Format:
    """The format of a pipe, from its first bytes: an IPC stream, JSON lines or CSV.

    Raises ``InputError`` for formats that cannot be read from a pipe.
    """
    for magic, name in _NOT_FROM_A_PIPE.items():
        if head.startswith(magic):
            raise InputError(
                f"{name} cannot be read from a pipe: give its path to --input, or send JSON lines, CSV or an Arrow "
                "stream"
            )
    if head.startswith(STREAM_MARK):
        return Format("stream")
    first = _strip(head)[:1]
    return Format("jsonl" if first in _JSON_STARTS else "csv")


def _strip(head: bytes) -> bytes:
    return head.removeprefix(codecs.BOM_UTF8).strip(_BLANKS)


class Rewound(io.RawIOBase):
    """A pipe whose first bytes, already read to tell its format, are given out again."""

    def __init__(self, stream: BinaryIO) -> None:
        self.head = stream.read(6)  # blocks until there are six bytes or the end, unlike peek
        while not _strip(self.head) and len(self.head) < _MOST_BLANKS and (more := stream.read(1)):
            self.head += more
        self._left = self.head
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._left[: len(buffer)] or self._stream.read(len(buffer))
        self._left = self._left[len(data) :]
        buffer[: len(data)] = data
        return len(data)


def unpack(stream: BinaryIO, codec: str | None) -> BinaryIO:
    """The bytes behind ``codec`` (``gzip``, ``zstd`` or ``None``), buffered for reading line by line.

    Truncated or damaged data raises ``OSError`` while reading; ``stream.tell()`` goes on saying how far we are.
    """
    if codec is None:
        return stream
    return io.BufferedReader(_Unpacked(stream, codec), 1 << 20)


def pack(file: BinaryIO, codec: str | None) -> Any:
    """A file whose bytes go to ``file`` packed by ``codec``; ``file`` itself without one.

    It must be closed. The bytes depend on what is written alone. Closing it may close ``file``.
    """
    if codec == "gzip":
        # Not Arrow's: fixed at level 9 it packs 8 MB/s, this 70. No name and no time, for the same bytes each run.
        return gzip.GzipFile("", "wb", 6, file, mtime=0)
    return pa.CompressedOutputStream(pa.PythonFile(file, mode="w"), codec) if codec else file


class _Unpacked(io.RawIOBase):
    """What Python's gzip or Arrow's zstd makes of ``stream``; every fault of the data is an ``OSError``."""

    def __init__(self, stream: BinaryIO, codec: str) -> None:
        # Arrow's gzip refuses the zeros with which tapes and block devices fill up; Python's passes over them.
        self._packed: Any = (
            gzip.GzipFile(fileobj=stream, mode="rb")
            if codec == "gzip"
            else pa.CompressedInputStream(pa.PythonFile(stream, mode="r"), codec)
        )

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            data = self._packed.read1(len(buffer))
        except (EOFError, zlib.error) as error:
            raise OSError(str(error)) from error
        except OSError as error:
            if "too much memory" not in str(error):
                raise
            raise OSError(
                "it was packed with a window of more than 128 MiB: pack it again with zstd --long=27 or less"
            ) from error
        buffer[: len(data)] = data
        return len(data)
