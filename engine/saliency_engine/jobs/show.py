"""The first rows of a table, for reading."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from typing import Any

from rich.console import Console
from rich.table import Column
from rich.table import Table as Grid
from rich.text import Text

from saliency_engine.config import BUILT_IN_MODEL, RunConfig, TableJob
from saliency_engine.report.terminal import printable
from saliency_engine.tables.input import open_table
from saliency_engine.tables.jsonl_lines import Lines

_PATH_WIDTH = 40


def show_table(path: str, rows: int, path_column: str) -> None:
    """Print the path and every ``saliency_`` column of the first ``rows`` rows on stdout. Raises ``InputError``."""
    # Only the path column matters for reading; a config names a model, so it names the one that is always there.
    config = RunConfig(model=BUILT_IN_MODEL, path_column=path_column, overwrite=True)
    found = list(islice(_rows(path, config), rows))
    names = [name for name in dict.fromkeys(name for row in found for name in row) if name.startswith("saliency_")]
    grid = Grid(*(Column(_cell(name)) for name in (path_column, *(name.removeprefix("saliency_") for name in names))))
    for row in found:
        source = printable(row.get(path_column) or "")
        shown = source if len(source) <= _PATH_WIDTH else "…" + source[1 - _PATH_WIDTH :]
        grid.add_row(Text(shown), *(_cell(row.get(name)) for name in names))
    Console(width=None if Console().is_terminal else 160).print(grid)


def _rows(path: str, config: RunConfig) -> Iterator[dict[str, Any]]:
    with open_table(TableJob(input=path, output="-"), config) as table:
        for batch in table:
            if isinstance(batch.payload, Lines):
                yield from (json.loads(text.lstrip(b"\xef\xbb\xbf")) for text in batch.payload.texts)
            else:
                yield from batch.payload.to_pylist()


def _cell(value: Any) -> Text:
    if value is None:
        return Text("")
    return Text(f"{value:.6f}" if isinstance(value, float) else printable(value))
