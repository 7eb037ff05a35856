"""Tables in every format: written by other means, opened by ours, and run through without their clips."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from saliency_engine.config import RunConfig
from saliency_engine.tables import formats
from saliency_engine.tables.columns import Columns, columns_of
from saliency_engine.tables.formats import Format
from saliency_engine.tables.input import open_table
from saliency_engine.tables.join import Joiner, OutputColumns
from saliency_engine.tables.output import choose_format, needs_batches, open_output
from saliency_engine.tables.rejects import Rejects
from saliency_engine.tables.sampling_tag import tags_of
from saliency_engine.types import ClipReference, ClipResult, RowBatch, Status

CONFIG = RunConfig(model="frequency_tuned_v1")
TAGS = tags_of(CONFIG, "m1", 320, 320)
OK = ClipResult(Status.OK, 0.5, 0.25)


def columns(**options: Any) -> Columns:
    return columns_of(RunConfig(model="frequency_tuned_v1", **options))


def read(path: str | Path, stdin: bytes = b"", **options: Any) -> list[RowBatch[Any]]:
    with open_table(str(path), columns(**options), stdin=io.BytesIO(stdin)) as table:
        return list(table)


def clips_of(batches: list[RowBatch[Any]]) -> list[ClipReference | None]:
    """Each row's clip, ``None`` for a row that is left alone."""
    return [None if code < 0 else batch.clips[code] for batch in batches for code in batch.codes]


def run_without_clips(source: str | Path, target: str | Path, stdin: bytes = b"") -> bytes:
    """A run in which every clip is ``OK``. Gives what went to stdout."""
    rejects, stdout = Rejects("" if target == "-" else f"{target}.rejects.jsonl"), io.BytesIO()
    reject, pipe = rejects.add if rejects.path else None, io.BytesIO(stdin)

    def as_arrow(before: Format) -> bool:
        return needs_batches(before, str(target), "auto")

    with open_table(str(source), columns(), lines_as_arrow=as_arrow, reject=reject, stdin=pipe) as table:
        gained, format = OutputColumns(CONFIG, table.schema), choose_format(str(target), "auto", table.format)
        joiner = Joiner(gained, TAGS)
        with open_output(str(target), format, gained.schema, stdout) as output, rejects.opened():
            for batch in table:
                output.write(joiner.join(batch, [OK] * len(batch.clips)))
            rejects.commit()
            output.commit(table.count_rows() - rejects.count)
    return stdout.getvalue()


def read_as_arrow(path: Path) -> list[dict[str, Any]]:
    """Every row of the table, lines too, by way of record batches."""
    with open_table(str(path), columns(), lines_as_arrow=True) as table:
        batches: list[Any] = [batch.payload for batch in table]
    return [row for batch in batches for row in batch.to_pylist()]


def write_ipc(path: Path, table: pa.Table, make: Callable[..., Any] = pa.ipc.new_file) -> Path:
    with make(path, table.schema) as writer:
        writer.write_table(table)
    return path


def ipc_stream(table: pa.Table) -> bytes:
    """In batches of two rows."""
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=2)
    return sink.getvalue()


def _write_lines(path: Path, table: pa.Table) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in table.to_pylist()))


WRITERS: dict[str, Callable[[Path, pa.Table], object]] = {
    "jsonl": _write_lines,
    "parquet": lambda path, table: pq.write_table(table, path),
    "arrow": write_ipc,
}


def patched(data: bytes, old: int, new: int, good: Callable[[bytes], bool]) -> bytes:
    """``data`` with the one byte ``old`` made ``new`` that makes it ``good``."""
    for at in (at for at, byte in enumerate(data) if byte == old):
        changed = data[:at] + bytes([new]) + data[at + 1 :]
        with suppress(pa.ArrowException, OSError, UnicodeDecodeError):
            if good(changed):
                return changed
    raise AssertionError("there is no such byte")


def write_table(path: Path, batches: list[Any], schema: pa.Schema | None = None) -> None:
    """Write ``batches`` as a run does, in the format of the suffix."""
    with open_output(str(path), formats.of_path(str(path), "output"), schema or batches[0].schema) as output:
        for batch in batches:
            output.write(batch)
        output.commit(sum(batch.num_rows for batch in batches))
