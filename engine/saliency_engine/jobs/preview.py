"""The first clips of a table on a contact sheet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path

import numpy as np

from saliency_engine.config import RunConfig
from saliency_engine.errors import ClipError
from saliency_engine.inference.session import Session, open_session
from saliency_engine.models.load import load_model
from saliency_engine.numerics.aggregate import combine, summarize
from saliency_engine.pipeline.one_clip import model_clip
from saliency_engine.report.contact_sheet import Tile, draw_contact_sheet, overlay
from saliency_engine.report.notes import warn_of, warn_of_options
from saliency_engine.storage.atomic import check_output, write_together
from saliency_engine.storage.locate import Locator
from saliency_engine.storage.overwrite import Files
from saliency_engine.tables.columns import columns_of
from saliency_engine.tables.input import open_table
from saliency_engine.types import ClipReference


def contact_sheet(inputs: Sequence[str], config: RunConfig, output: str, clips: int) -> None:
    """Draw the first ``clips`` distinct clips of ``inputs`` to the PNG file ``output``.

    Raises ``SaliencyError``, also where the sheet would overwrite the table, the model or one of the clips. A clip that
    fails is a tile that says why.
    """
    files = Files()
    files.reads("--input", *inputs)
    files.reads("--model-path", config.model_path)
    files.writes("--output", output)
    with open_table(inputs, columns_of(config), root=config.root) as table:
        files.reads("--input", *table.parts)
        first = _take_distinct((clip for batch in table for clip in batch.clips), clips)
    locator = Locator(config, files)
    for clip in first:
        with suppress(ClipError):  # the sheet says so
            locator.locate(clip)
    check_output(output)
    model = load_model(config)
    files.reads("--model", *model.files)
    warn_of(model)
    warn_of_options(config)
    with closing(open_session(model, config)) as session:
        sheet = draw_contact_sheet([_make_tile(clip, config, session) for clip in first])
    write_together({Path(output): sheet})


def _take_distinct(clips: Iterator[ClipReference], count: int) -> list[ClipReference]:
    """The first ``count`` different ones of ``clips``."""
    distinct: dict[ClipReference, None] = {}
    for clip in clips:
        if len(distinct) == count:
            break
        distinct.setdefault(clip)
    return list(distinct)


def _make_tile(clip: ClipReference, config: RunConfig, session: Session) -> Tile:
    title, aggregator, alpha = Path(clip.path).name, config.temporal_aggregator, config.ema_alpha
    try:
        computed = model_clip(clip, session, config)
    except ClipError as error:
        return Tile(title, str(error))
    mean, var = summarize(computed.statistics, aggregator, alpha)
    heat = np.empty(computed.maps.shape[1:], np.float32)
    combine(computed.maps, computed.statistics.motion, aggregator, alpha, heat)
    caption = f"{aggregator} of {len(computed.frames)} frames: mean {mean:.4f}, var {var:.4f}"
    first = np.ascontiguousarray(computed.frames[0].transpose(1, 2, 0) >> 8, np.uint8)
    return Tile(title, caption, first, overlay(first, heat))
