"""Several Parquet files that are one table together, as Spark and others write them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack

import pyarrow as pa

from saliency_engine.errors import InputError
from saliency_engine.tables import parquet
from saliency_engine.tables.formats import Opened
from saliency_engine.tables.reading import naming


def open_parts(paths: Sequence[str], former: str = "") -> Opened:
    """The rows of the files at ``paths``, one file after the other; an ``InputError`` names the one that is at fault.

    All must have the columns of the first one, in its order and of its types; else an ``InputError`` names the file.
    ``former`` is what an earlier run has written beside them. It must have other columns: it might be one of the parts
    otherwise, which would be lost, and is an ``InputError``.
    """
    with ExitStack() as files:
        first = _open_part(paths[0], files)
    if former:
        with ExitStack() as files:
            is_part = _open_part(former, files).schema == first.schema
        if is_part:
            raise InputError(f"--output {former} has the columns of the parts that it lies among: give it another name")
    rows = 0
    for path in paths:  # all of them now, rather than after the rows of those before
        with ExitStack() as files:
            part = _open_part(path, files)
            _check_same(first.schema, part.schema, paths[0], path)
            rows += part.rows_total or 0

    def pieces() -> Iterator[tuple[float | None, pa.RecordBatch]]:
        for place, path in enumerate(paths):
            with naming(path), ExitStack() as files:
                for fraction, batch in parquet.open_file(path, files).pieces:
                    columns = pa.RecordBatch.from_arrays(batch.columns, schema=first.schema)
                    yield (place + (fraction or 0.0)) / len(paths), columns

    return Opened(first.format, pieces(), lambda: rows, first.schema, rows)


def _open_part(path: str, files: ExitStack) -> Opened:
    with naming(path):
        return parquet.open_file(path, files)


def _check_same(first: pa.Schema, schema: pa.Schema, first_path: str, path: str) -> None:
    if schema.equals(first):
        return
    names = [name for name in dict.fromkeys([*first.names, *schema.names]) if name not in _same_fields(first, schema)]
    which = f"column {names[0]!r} differs" if names else "the order of the columns differs"
    raise InputError(f"{path} is no part of the same table as {first_path}: {which}. Write them as one table first")


def _same_fields(first: pa.Schema, second: pa.Schema) -> set[str]:
    return {field.name for field in first if field in set(second)}
