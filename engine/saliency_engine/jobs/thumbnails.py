"""Pictures of some rows of a table for a page, as far as their clips and models are here."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from typing import Any

from saliency_engine.config import RunConfig
from saliency_engine.errors import ClipError, ConfigError, InputError, ModelError, SaliencyError
from saliency_engine.jobs.tiles import Models, make_tile
from saliency_engine.report.contact_sheet import PICTURE, Tile
from saliency_engine.storage.locate import Locator
from saliency_engine.storage.overwrite import Files
from saliency_engine.storage.urls import show_path
from saliency_engine.tables.columns import columns_of
from saliency_engine.tables.input import open_table
from saliency_engine.tables.selection import MOS_COLUMNS, ChosenRow, find_rows
from saliency_engine.types import decode_spec
from saliency_engine.video.poster import decode_poster


def draw_rows(path: str, rows: Iterable[int], options: Mapping[str, Any], no_model: str = "") -> dict[int, Tile]:
    """Tiles of the ``rows`` of the table at ``path``, by their numbers counted from 0.

    ``options`` are those of ``RunConfig`` that were given; settings are those of the rows' tags. Where a model is not
    here, the tile has a frame and no map, and says ``no_model``, or what its error says. A clip that cannot be found or
    decoded is a tile that says why. None where the table has no column of paths, or is a list in a ``.json`` file.
    """
    config = RunConfig(**options)
    names = config.output_columns
    columns = dataclasses.replace(columns_of(config), mean="", var="", written={}, roles={})
    wanted = [*filter(None, names.values()), *MOS_COLUMNS]
    try:
        with open_table(path, columns, root=config.root, lines_as_arrow=lambda format: format.kind == "csv") as table:
            chosen = find_rows(table, rows, wanted)
    except (ConfigError, InputError):  # its clips are known by their keys alone
        return {}
    with ExitStack() as opened:
        models = Models(Files(), opened)
        return {row.number - 1: _draw(row, options, names, models, no_model) for row in chosen}


def _draw(row: ChosenRow, options: Mapping[str, Any], names: Mapping[str, str], models: Models, no_model: str) -> Tile:
    try:
        return make_tile(row, options, names, models)
    except ModelError as error:
        return _draw_frame(row, RunConfig(**options), no_model or str(error))
    except SaliencyError as error:
        return Tile(show_path(row.clip.path), reason=str(error))


def _draw_frame(row: ChosenRow, config: RunConfig, why: str) -> Tile:
    """A frame of the clip without its map, which ``why`` is the reason for."""
    try:
        request = Locator(config).locate(row.clip)
        frame = decode_poster(request, decode_spec(config, *config.model_width_height), PICTURE)
    except ClipError as error:
        return Tile(show_path(row.clip.path), reason=str(error))
    return Tile(show_path(row.clip.path), settings=why, frame=frame)
