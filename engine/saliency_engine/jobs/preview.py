"""A contact sheet: each clip's first sampled frame beside its aggregated saliency laid over it."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from saliency_engine.config import RunConfig, TableJob
from saliency_engine.errors import ClipError
from saliency_engine.inference.session import Session, open_session
from saliency_engine.models.load import load_model
from saliency_engine.numerics.aggregate import combine, measure, summarize
from saliency_engine.report.console import warn_of
from saliency_engine.report.terminal import printable
from saliency_engine.storage.atomic import write_together
from saliency_engine.storage.locate import Locator
from saliency_engine.tables.input import open_table
from saliency_engine.types import ClipReference, decode_spec
from saliency_engine.video.decode import decode_clip

_TILE, _GAP, _CAPTION = 320, 8, 40
_BACKGROUND, _INK, _FAINT = (24, 24, 27), (240, 240, 240), (150, 150, 158)
# Colour stops of the overlay from 0 to 1 (dark violet, magenta, orange, pale yellow): ordered in lightness, so that
# the picture also reads in grey and for the colour-blind.
_STOPS = np.array([(0, 0, 4), (87, 16, 110), (188, 55, 84), (249, 142, 9), (252, 255, 164)], np.float64)


@dataclass(frozen=True)
class Tile:
    """One clip's pictures: ``frame`` and ``overlay`` uint8 ``[H, W, 3]``, empty with a ``caption`` when it failed."""

    title: str
    caption: str
    frame: NDArray[np.uint8] | None = None
    overlay: NDArray[np.uint8] | None = None


def contact_sheet(job: TableJob, config: RunConfig, output: str, clips: int) -> None:
    """Write a PNG of the first ``clips`` distinct sources of ``job.input``, two tiles each.

    Raises ``InputError``, ``ModelError`` or ``OutputError``; a clip that fails is a tile that says why.
    """
    with open_table(job, config) as table:
        sources = _first_distinct((source for batch in table for source in batch.clips), clips)
    model = load_model(config)
    warn_of(model)
    session = open_session(model, config)
    sheet = _draw([_tile(source, config, session) for source in sources])
    data = io.BytesIO()
    sheet.save(data, "PNG")
    write_together({Path(output): data.getvalue()})


def _first_distinct(sources: Iterator[ClipReference], count: int) -> list[ClipReference]:
    found: dict[ClipReference, None] = {}
    for source in sources:
        if len(found) == count:
            break
        found.setdefault(source)
    return list(found)


def _tile(source: ClipReference, config: RunConfig, session: Session) -> Tile:
    title, spec = Path(source.path).name, decode_spec(config, session.width, session.height)
    frames = np.zeros((spec.frames_per_clip, 3, spec.height, spec.width), np.uint16)
    try:
        decoded = decode_clip(Locator(config).locate(source), spec, frames)
        motion = np.array(decoded.motion)
        maps = _maps(session, frames[: decoded.frames])
        mean, var = summarize(measure(maps, motion), config.temporal_aggregator, config.ema_alpha)
    except ClipError as error:
        return Tile(title, str(error))
    heat = np.empty(maps.shape[1:], np.float32)
    combine(maps, motion, config.temporal_aggregator, config.ema_alpha, heat)
    caption = f"{config.temporal_aggregator} of {decoded.frames} frames: mean {mean:.4f}, var {var:.4f}"
    first = np.ascontiguousarray(frames[0].transpose(1, 2, 0) >> 8, np.uint8)
    return Tile(title, caption, first, _overlay(first, heat))


def _maps(session: Session, frames: NDArray[np.uint16]) -> NDArray[np.float32]:
    whole = -(-len(frames) // session.batch) * session.batch
    inputs = np.zeros((whole, 3, session.height, session.width), np.uint16)
    inputs[: len(frames)] = frames
    maps = np.empty((whole, session.map_height, session.map_width), np.float32)
    session.run(inputs, maps)
    return maps[: len(frames)]


def _overlay(frame: NDArray[np.uint8], heat: NDArray[np.float32]) -> NDArray[np.uint8]:
    """The map in colour over the frame in grey, half and half."""
    scaled = np.asarray(Image.fromarray(heat).resize(frame.shape[1::-1], Image.Resampling.BILINEAR))
    stops = np.linspace(0.0, 1.0, len(_STOPS))
    colours = np.stack([np.interp(scaled, stops, _STOPS[:, channel]) for channel in range(3)], axis=-1)
    grey = frame.astype(np.float64).mean(axis=-1, keepdims=True)
    return np.asarray(np.rint(0.45 * grey + 0.55 * colours), np.uint8)


def _draw(tiles: list[Tile]) -> Image.Image:
    height = _TILE + _CAPTION + _GAP
    sheet = Image.new("RGB", (2 * _TILE + 3 * _GAP, max(len(tiles), 1) * height + _GAP), _BACKGROUND)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(14)
    for row, tile in enumerate(tiles):
        top = _GAP + row * height
        for column, picture in enumerate((tile.frame, tile.overlay)):
            if picture is not None:
                image = Image.fromarray(picture).resize((_TILE, _TILE), Image.Resampling.BILINEAR)
                sheet.paste(image, (_GAP + column * (_TILE + _GAP), top))
        pen.text((_GAP, top + _TILE + 2), _fit(printable(tile.title), font), _INK, font)
        pen.text((_GAP, top + _TILE + 19), _fit(printable(tile.caption), font), _FAINT, font)
    return sheet


def _fit(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """Cut text to the sheet's width."""
    while font.getlength(text) > 2 * _TILE and len(text) > 4:
        text = text[:-4] + "…"
    return text
