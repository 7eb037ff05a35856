"""The first rows of a table, for reading."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import islice
from typing import Any

from rich.console import Console
from rich.table import Column
from rich.table import Table as Grid
from rich.text import Text

from saliency_engine.facts import ClipFacts
from saliency_engine.report.terminal import printable
from saliency_engine.tables.columns import Columns
from saliency_engine.tables.input import open_table
from saliency_engine.tables.jsonl_lines import Lines
from saliency_engine.tables.prefixes import DEFAULT, find_prefixes
from saliency_engine.tables.row_values import names_of, read_values

_PATH_WIDTH = 40
_PIPE_WIDTH = 240
"""In which an index stands whole."""
_FACTS = frozenset(field.name for field in dataclasses.fields(ClipFacts))


def show_table(inputs: Sequence[str], rows: int, path_column: str) -> None:
    """Print the path and every column with saliency of the first ``rows`` rows on stdout; of an index its columns.

    Raises ``InputError``, also for a table without ``path_column``. Where that is empty, the path is ``src`` or else
    the first column.
    """
    shown = list(islice(_read_rows(inputs, path_column, rows), rows))
    path_column, *names = dict.fromkeys(name for row in shown for name in row) or [path_column]
    clips = [_shorten(printable(row.get(path_column) or "")) for row in shown]
    titles = (Column(_format_cell(name.removeprefix(DEFAULT))) for name in names)
    grid = Grid(Column(_format_cell(path_column), min_width=max(map(len, clips), default=0)), *titles)
    for clip, row in zip(clips, shown, strict=True):
        grid.add_row(Text(clip), *(_format_cell(row.get(name)) for name in names))
    Console(width=None if Console().is_terminal else _PIPE_WIDTH).print(grid)


def _read_rows(inputs: Sequence[str], path_column: str, most: int) -> Iterator[dict[str, Any]]:
    """The table's rows, with what is shown of them alone, the path first; of a record batch the first ``most``."""
    with open_table(inputs, Columns(path=path_column), lines_as_arrow=lambda format: format.kind == "csv") as table:
        for batch in table:
            payload = batch.payload if isinstance(batch.payload, Lines) else batch.payload.slice(0, most)
            names = names_of(payload)
            path_column = path_column or _choose_path_column(names)
            prefixes = (DEFAULT, *find_prefixes(names))
            facts = _FACTS if {*names} >= _FACTS else frozenset[str]()
            for row in read_values(payload, partial(_is_shown, path_column, prefixes, facts)):
                others = {name: value for name, value in row.items() if _is_shown("", prefixes, facts, name)}
                yield {path_column: row.get(path_column)} | others


def _is_shown(path_column: str, prefixes: tuple[str, ...], facts: frozenset[str], name: str) -> bool:
    return name == path_column or name in facts or name.startswith(prefixes)


def _shorten(path: str) -> str:
    """Its end is what tells clips apart."""
    return path if len(path) <= _PATH_WIDTH else "…" + path[1 - _PATH_WIDTH :]


def _choose_path_column(names: Sequence[str]) -> str:
    return "src" if "src" in names else next(iter(names), "")


def _format_cell(value: Any) -> Text:
    if value is None:
        return Text("")
    return Text(f"{value:.6f}" if isinstance(value, float) else printable(value))
