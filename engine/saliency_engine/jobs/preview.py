"""Some clips of a table on a contact sheet, each with the settings that its row's numbers were made with."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from saliency_engine.config import RunConfig
from saliency_engine.errors import ClipError
from saliency_engine.jobs.tiles import Models, make_tile
from saliency_engine.report.contact_sheet import draw_contact_sheet, format_of
from saliency_engine.storage.atomic import check_output, write_together
from saliency_engine.storage.locate import Locator
from saliency_engine.storage.overwrite import Files
from saliency_engine.tables.columns import columns_of
from saliency_engine.tables.formats import Format
from saliency_engine.tables.input import open_table
from saliency_engine.tables.selection import Selection


def contact_sheet(
    inputs: Sequence[str], options: Mapping[str, Any], output: str, clips: int, select: Sequence[str] = ()
) -> None:
    """Draw ``clips`` distinct clips of ``inputs``, those that ``select`` names, to the file ``output``.

    ``options`` are the options of ``RunConfig`` that were given; what else moves numbers is taken from each row's tags.
    Raises ``SaliencyError``, also where the sheet would overwrite the table, the model or one of the clips. A clip that
    fails, and a row that has failed, is a tile that says why.
    """
    config = RunConfig(**options)
    names = config.output_columns
    selection = Selection(select, names)
    files = Files()
    files.reads("--input", *inputs)
    files.reads("--model-path", config.model_path)
    files.writes("--output", output, holds=".png")
    columns = dataclasses.replace(columns_of(config), mean="", var="", written={}, roles={})  # every row is looked at
    with open_table(inputs, columns, root=config.root, lines_as_arrow=_is_csv, remote=config.allow_remote) as table:
        files.reads("--input", *table.parts)
        rows = selection.choose(table, clips, [name for name in names.values() if name])
    locator = Locator(config, files)
    for row in rows:
        with suppress(ClipError):  # the sheet says so
            locator.locate(row.clip)
    form = format_of(output)
    check_output(output)
    with ExitStack() as opened:
        models = Models(files, opened)
        tiles = [make_tile(row, options, names, models) for row in rows]
    name = Path(inputs[0]).name + (f" and {len(inputs) - 1} more" if len(inputs) > 1 else "")
    title = "  ".join([name, *(f"--select {text}" for text in select)])
    write_together({Path(output): draw_contact_sheet(tiles, title, form)})


def _is_csv(format: Format) -> bool:
    return format.kind == "csv"
