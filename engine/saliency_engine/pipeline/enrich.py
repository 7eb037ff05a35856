"""A whole table at once, for notebooks and short scripts."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from saliency_engine.config import RunConfig, run_config
from saliency_engine.pipeline.engine import Engine
from saliency_engine.tables import rows
from saliency_engine.tables.arrow_stream import ArrowStream, collect, open_stream
from saliency_engine.tables.columns import columns_of
from saliency_engine.tables.input import open_table
from saliency_engine.tables.join import OutputColumns
from saliency_engine.types import RowBatch

if TYPE_CHECKING:
    import pyarrow as pa

Path = str | os.PathLike[str]


def enrich(table: ArrowStream | Path | Sequence[Path], *, model: str = "", **options: Any) -> pa.Table:
    """The rows of ``table``, in order, with the saliency columns; all of it is held in memory.

    ``table`` is anything with ``__arrow_c_stream__``, such as a table of pandas, polars or PyArrow or a relation of
    DuckDB; or a path, or several, as ``saliency-batch run`` takes them: a table's file, a folder of clips, clips.
    ``model`` and ``options`` are those of ``RunConfig``. Finished clips are kept where ``memo`` names a file.

    A clip that fails is a row with a status. Raises ``ConfigError`` for an option that does not exist or is out of
    range, ``InputError`` for a table that cannot be read, and as ``Engine`` does.
    """
    config = run_config({"model": model, **options})
    with _open(table, config) as (schema, batches):
        columns = OutputColumns(config, schema)
        with Engine(config) as engine:
            return collect(engine.process_rows(batches), columns.schema)


@contextmanager
def _open(
    table: ArrowStream | Path | Sequence[Path], config: RunConfig
) -> Iterator[tuple[Any, Iterator[RowBatch[Any]]]]:
    columns = columns_of(config)
    if isinstance(table, str | os.PathLike):
        table = [table]
    if isinstance(table, list | tuple) and table and all(isinstance(path, str | os.PathLike) for path in table):
        paths = [os.fsdecode(path) for path in table]
        with open_table(paths, columns, root=config.root, lines_as_arrow=True) as opened:
            yield opened.schema, iter(opened)
    else:
        schema, batches = open_stream(table)
        yield schema, rows.from_batches(batches, columns)
