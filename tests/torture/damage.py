"""One damage at a time, anywhere in the bytes of one table: does the reader notice?"""

from __future__ import annotations

import gzip
import hashlib
import io
import random
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from tests.torture.seeds import Target, Try
from tests.torture.tries import CONFIG, scratch

from saliency_engine.errors import OutputError
from saliency_engine.tables import input
from saliency_engine.tables.columns import columns_of
from saliency_engine.tables.formats import Format
from saliency_engine.tables.jsonl_lines import Lines
from saliency_engine.tables.output import open_output

ROWS = 600


def table() -> pa.Table:
    """600 rows of the usual types, in three row groups or batches."""
    generator = random.Random(5)
    texts = [f"clips/{generator.randrange(10**9)}.mp4" for _ in range(ROWS)]
    columns = {
        "src": pa.array(texts),
        "n": pa.array(range(ROWS), pa.int64()),
        "x": pa.array([generator.random() if i % 7 else None for i in range(ROWS)]),
        "list": pa.array([[i, i + 1] if i % 3 else None for i in range(ROWS)]),
        "kind": pa.array([f"kind {i % 5}" for i in range(ROWS)]).dictionary_encode(),
        "time": pa.array(range(ROWS), pa.timestamp("us", "UTC")),
    }
    return pa.table(columns)


def _parquet(**options: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table(), sink, row_group_size=200, **options)
    return sink.getvalue()


def _ours(kind: Any) -> bytes:
    """As this program writes it."""
    sink = io.BytesIO()
    with open_output("-", Format(kind), table().schema, sink) as output:
        for batch in table().to_batches(max_chunksize=200):
            output.write(batch)
        output.commit(ROWS)
    return sink.getvalue()


def _arrow(make: Any, codec: str | None) -> bytes:
    sink = io.BytesIO()
    with make(sink, table().schema, options=pa.ipc.IpcWriteOptions(compression=codec)) as writer:
        writer.write_table(table(), max_chunksize=200)
    return sink.getvalue()


def _packed(codec: str) -> bytes:
    lines = b"".join(b'{"src": "%d.mp4", "n": %d}\n' % (i * 7919, i) for i in range(ROWS))
    return gzip.compress(lines) if codec == "gz" else pa.compress(lines, "zstd", asbytes=True)


def _printed(column: Any) -> str:
    return str(column.to_string(window=ROWS, container_window=ROWS, element_size_limit=10_000))


def _digest(path: Path) -> str:
    """A hash of all that is read: schema and values, or lines."""
    digest = hashlib.sha256()
    with ExitStack() as stack:
        opened = stack.enter_context(input.open_table(str(path), columns_of(CONFIG)))
        rows = 0
        digest.update(str(opened.schema).encode())
        for batch in opened:
            payload: Any = batch.payload
            # Arrow's own printer, since some of its times have no form in Python.
            printed = repr(payload.texts if isinstance(payload, Lines) else [_printed(one) for one in payload.columns])
            digest.update(printed.encode("utf-8", "surrogatepass"))
            rows += batch.rows
        if rows != opened.count_rows():
            raise OutputError("what Output.commit would raise")
    return digest.hexdigest()


def _harm(data: bytes, seed: int) -> bytes:
    """``data`` with a bit flipped, 16 bytes zeroed, or cut off."""
    generator, harmed = random.Random(seed), bytearray(data)
    kind, at = generator.random(), generator.randrange(len(data))
    if kind < 0.2:
        return data[:at]
    if kind < 0.4 and any(data[at : at + 16]):
        harmed[at : at + 16] = bytes(len(data[at : at + 16]))
    else:
        harmed[at] ^= 1 << generator.randrange(8)
    return bytes(harmed)


def _place(suffix: str, data: bytes, whole: bytes) -> str:
    """In which part of the file the damage is."""
    at = next((i for i, (one, other) in enumerate(zip(data, whole, strict=False)) if one != other), len(data))
    footer = int.from_bytes(whole[-8:-4], "little") + 8 if suffix == "parquet" else 0
    return "footer" if at >= len(whole) - footer else "body"


def _target(suffix: str, make: Callable[[], bytes]) -> Target:
    def prepare() -> tuple[Callable[[int], bytes], Try]:
        whole = make()
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"in.{suffix}"
            path.write_bytes(whole)
            expected = _digest(path)

        def try_(data: bytes) -> str:
            with tempfile.TemporaryDirectory(dir=scratch()) as folder:
                path = Path(folder) / f"in.{suffix}"
                path.write_bytes(data)
                same = _digest(path) == expected
            return "harmless" if same else "unnoticed, " + _place(suffix, data, whole)

        return (lambda seed: _harm(whole, seed)), try_

    return Target(prepare)


TARGETS = {
    "parquet, as written here": _target("parquet", lambda: _ours("parquet")),
    "parquet, zstd, page checksums": _target("parquet", lambda: _parquet(compression="zstd", write_page_checksum=True)),
    "parquet, snappy": _target("parquet", lambda: _parquet(compression="snappy")),
    "parquet, not compressed": _target("parquet", lambda: _parquet(compression="none", use_dictionary=False)),
    "arrow file": _target("arrow", lambda: _arrow(pa.ipc.new_file, None)),
    "arrow file, lz4": _target("arrow", lambda: _arrow(pa.ipc.new_file, "lz4")),
    "arrow stream": _target("arrow", lambda: _arrow(pa.ipc.new_stream, None)),
    "lines, gzip": _target("jsonl.gz", lambda: _packed("gz")),
    "lines, zstd": _target("jsonl.zst", lambda: _packed("zst")),
}
