"""The first clips of a table on a contact sheet."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from saliency_engine.config import RunConfig, TableJob
from saliency_engine.errors import ClipError
from saliency_engine.inference.session import Session, open_session
from saliency_engine.models.load import load_model
from saliency_engine.numerics.aggregate import combine, measure, summarize
from saliency_engine.report.console import warn_of
from saliency_engine.report.contact_sheet import Tile, draw_contact_sheet, overlay
from saliency_engine.storage.atomic import write_together
from saliency_engine.storage.locate import Locator
from saliency_engine.tables.input import open_table
from saliency_engine.types import ClipReference, decode_spec
from saliency_engine.video.decode import decode_clip


def contact_sheet(job: TableJob, config: RunConfig, output: str, clips: int) -> None:
    """Draw the first ``clips`` distinct clips of ``job.input`` to the PNG file ``output``.

    Raises ``InputError``, ``ModelError`` or ``OutputError``; a clip that fails is a tile that says why.
    """
    with open_table(job, config) as table:
        first = _take_distinct((clip for batch in table for clip in batch.clips), clips)
    model = load_model(config)
    warn_of(model)
    session = open_session(model, config)
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
    title, spec = Path(clip.path).name, decode_spec(config, session.width, session.height)
    frames = np.zeros((spec.frames_per_clip, 3, spec.height, spec.width), np.uint16)
    try:
        decoded = decode_clip(Locator(config).locate(clip), spec, frames)
        motion = np.array(decoded.motion)
        maps = _maps(session, frames[: decoded.frames])
        mean, var = summarize(measure(maps, motion), config.temporal_aggregator, config.ema_alpha)
    except ClipError as error:
        return Tile(title, str(error))
    heat = np.empty(maps.shape[1:], np.float32)
    combine(maps, motion, config.temporal_aggregator, config.ema_alpha, heat)
    caption = f"{config.temporal_aggregator} of {decoded.frames} frames: mean {mean:.4f}, var {var:.4f}"
    first = np.ascontiguousarray(frames[0].transpose(1, 2, 0) >> 8, np.uint8)
    return Tile(title, caption, first, overlay(first, heat))


def _maps(session: Session, frames: NDArray[np.uint16]) -> NDArray[np.float32]:
    whole = -(-len(frames) // session.frames_per_call) * session.frames_per_call
    inputs = np.zeros((whole, 3, session.height, session.width), np.uint16)
    inputs[: len(frames)] = frames
    maps = np.empty((whole, session.map_height, session.map_width), np.float32)
    session.run(inputs, maps)
    return maps[: len(frames)]
