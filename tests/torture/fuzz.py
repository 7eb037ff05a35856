"""Mutants of tables, options and manifests, and what each kind is tried with."""

from __future__ import annotations

import gzip
import io
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from tests.arrow_types import COLUMNS, NOT_IN_PARQUET
from tests.torture.mutate import mutant
from tests.torture.seeds import Target, Try
from tests.torture.tries import arrow, config, entry, lines, lines_to_arrow, manifest, packed, parquet, stream

CORPUS = Path(__file__).parent / "corpus"


def _sample() -> pa.Table:
    """A small table of every layout that readers treat differently."""
    names = [name for name in COLUMNS if name not in NOT_IN_PARQUET]
    columns = {"src": pa.array(["a.mp4", "é.mp4", "a.mp4"]), "width": pa.array([64, None, 32])}
    columns |= {"saliency_mean": pa.array([0.5, None, 0.25]), "saliency_var": pa.array([0.5, None, None])}
    return pa.table(columns | {name: COLUMNS[name] for name in names[:: max(1, len(names) // 24)]})


def _ipc(table: pa.Table, make: Any, **options: Any) -> bytes:
    sink = io.BytesIO()
    with make(sink, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table, max_chunksize=2)
    return sink.getvalue()


def _parquets() -> Iterator[bytes]:
    for options in ({}, {"compression": "none", "use_dictionary": False}, {"write_page_checksum": True}):
        sink = io.BytesIO()
        pq.write_table(_sample(), sink, **{"compression": "zstd", "row_group_size": 2, **options})
        yield sink.getvalue()


def _corpus(name: str) -> list[bytes]:
    return [path.read_bytes() for path in sorted((CORPUS / name).iterdir())]


def _mutants(try_: Try, seeds: Callable[[], Sequence[bytes]], tokens: Sequence[bytes]) -> Target:
    def prepare() -> tuple[Callable[[int], bytes], Try]:
        corpus = seeds()
        return (lambda seed: mutant(corpus, tokens, seed)), try_

    return Target(prepare)


_JSON = (
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b'"',
    b"\\",
    b"\n",
    b"\r\n",
    b" ",
    b"null",
    b"true",
    b"NaN",
    b"-Infinity",
    b"1.5",
    b"9223372036854775808",
    b"9007199254740993",
    b"1e400",
    b"-0.0",
    b"\\u0000",
    b"\\ud800",
    b"\\udcff",
    b'"saliency_mean": ',
    b'"saliency_status"',
    b'"\\u0073rc": "x"',
    b'"k": ',
    b'"src": "a.mp4"',
    b"\xef\xbb\xbf",
    b"\x00",
    b"\xff",
    b"\xed\xa0\x80",
    b"\xc3\xa9",
    b'"a": {',
    b'"a": [',
    b"[" * 40,
    b"]" * 40,
)
_ARROW = (b"\xff\xff\xff\xff", b"\xff\xff\xff\xff\x00\x00\x00\x00", b"ARROW1", b"\x00" * 8, b"\xff" * 8)
_MANIFEST = (*_JSON[:12], b'"id"', b'"sha256"', b'"verified"', b'"how"', b"signature", b"a" * 64, b'"outputs"')
TARGETS = {
    "lines": _mutants(lines, lambda: _corpus("lines"), _JSON),
    "lines_to_arrow": _mutants(lines_to_arrow, lambda: _corpus("lines"), _JSON),
    "packed": _mutants(
        packed,
        lambda: [
            make(b"".join(_corpus("lines"))) for make in (gzip.compress, lambda data: pa.compress(data, "zstd", True))
        ],
        _ARROW,
    ),
    "parquet": _mutants(parquet, lambda: list(_parquets()), (b"PAR1", *_ARROW)),
    "arrow": _mutants(
        arrow,
        lambda: [_ipc(_sample(), pa.ipc.new_file, compression=codec) for codec in (None, "lz4", "zstd")],
        _ARROW,
    ),
    "stream": _mutants(
        stream, lambda: [_ipc(_sample(), pa.ipc.new_stream, compression=codec) for codec in (None, "lz4")], _ARROW
    ),
    "config": _mutants(
        config, lambda: _corpus("config"), (b"=", b'"', b"[", b"]", b"\n", b"'''", b"nan", b"1e400", b"-")
    ),
    "entry": _mutants(entry, lambda: _corpus("entry"), _MANIFEST),
    "manifest": _mutants(manifest, lambda: _corpus("manifest"), _MANIFEST),
}
