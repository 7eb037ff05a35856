"""Table formats: what a file's name or a stream's first bytes say, and how packed lines are unpacked."""

from __future__ import annotations

import dataclasses
import io
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, BinaryIO, Literal

import pyarrow as pa

from saliency_engine.config import TableJob
from saliency_engine.errors import ConfigError, InputError


@dataclass(frozen=True, slots=True)
class Format:
    """How a table is laid out in bytes.

    ``kind``: JSON lines, a Parquet file, an Arrow IPC file (``arrow``) or an Arrow IPC ``stream``. ``codec`` is
    ``gzip`` or ``zstd`` around JSON lines, or the codec of a Parquet file's columns; ``None`` is the format's default.
    """

    kind: Literal["jsonl", "parquet", "arrow", "stream"]
    codec: str | None = None


_SUFFIXES = {
    ".jsonl": Format("jsonl"),
    ".jsonl.gz": Format("jsonl", "gzip"),
    ".jsonl.zst": Format("jsonl", "zstd"),
    ".ndjson": Format("jsonl"),
    ".ndjson.gz": Format("jsonl", "gzip"),
    ".ndjson.zst": Format("jsonl", "zstd"),
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
STREAM_MARK = b"\xff\xff\xff\xff"  # every message of an IPC stream begins with it since Arrow 0.15


def is_table(path: str) -> bool:
    """Whether ``path``'s suffix is that of a table."""
    return PurePath(path).name.lower().endswith(tuple(_SUFFIXES))


def of_path(path: str, option: str) -> Format:
    """The format that ``path``'s suffix names; raises ``ConfigError`` naming ``option`` and the known suffixes."""
    name = PurePath(path).name.lower()
    for suffix, known in _SUFFIXES.items():
        if name.endswith(suffix):
            return known
    raise ConfigError(f"--{option} {path}: unknown suffix; known are {' '.join(_SUFFIXES)}, and - for a pipe")


def of_stream(head: bytes) -> Format:
    """The format of a pipe, from its first bytes: an IPC stream or JSON lines.

    Raises ``InputError`` for formats that a pipe cannot carry.
    """
    for magic, what in _NOT_FROM_A_PIPE.items():
        if head.startswith(magic):
            raise InputError(f"stdin holds {what}: give its path to --input, or send JSON lines or an Arrow IPC stream")
    return Format("stream" if head.startswith(STREAM_MARK) else "jsonl")


def of_output(job: TableJob, source: Format) -> Format:
    """The format of ``job.output`` for an input in format ``source``.

    A Parquet output takes the codec of a Parquet input. Raises ``ConfigError`` for an unknown suffix.
    """
    if job.output != "-":
        chosen = of_path(job.output, "output")
        both = chosen.kind == source.kind == "parquet"
        return dataclasses.replace(chosen, codec=source.codec) if both else chosen
    lines = source.kind == "jsonl" if job.output_format == "auto" else job.output_format == "jsonl"
    return Format("jsonl" if lines else "stream")


class Rewound(io.RawIOBase):
    """A pipe whose first bytes, already read to tell its format, are given out again."""

    def __init__(self, stream: BinaryIO) -> None:
        self.head = stream.read(6)  # blocks until there are six bytes or the end, unlike peek
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
    packed: Any = pa.CompressedInputStream(pa.PythonFile(stream, mode="r"), codec)
    return io.BufferedReader(packed, 1 << 20)
