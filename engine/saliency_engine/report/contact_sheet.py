"""A contact sheet: for each clip its first sampled frame, and beside it the same frame under its saliency."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from saliency_engine.report.terminal import printable

_TILE, _GAP, _CAPTION = 320, 8, 40  # pixels: a picture's side, the gap around it, the height of the text below it
_BACKGROUND, _INK, _FAINT = (24, 24, 27), (240, 240, 240), (150, 150, 158)
# Colour stops of the overlay from 0 to 1 (dark violet, magenta, orange, pale yellow): ordered in lightness, so that
# the picture also reads in grey and for the colour-blind.
_STOPS = np.array([(0, 0, 4), (87, 16, 110), (188, 55, 84), (249, 142, 9), (252, 255, 164)], np.float64)


@dataclass(frozen=True)
class Tile:
    """One clip on the sheet. A clip that failed has no pictures, and a ``caption`` that says why."""

    title: str
    caption: str
    frame: NDArray[np.uint8] | None = None
    """R'G'B' ``[H, W, 3]``."""
    overlay: NDArray[np.uint8] | None = None
    """The frame under its saliency, R'G'B' ``[H, W, 3]``; see ``overlay``."""


def overlay(frame: NDArray[np.uint8], heat: NDArray[np.float32]) -> NDArray[np.uint8]:
    """The map ``heat`` ``[map_H, map_W]`` in [0, 1], in colour, over ``frame`` ``[H, W, 3]`` in grey."""
    scaled = np.asarray(Image.fromarray(heat).resize(frame.shape[1::-1], Image.Resampling.BILINEAR))
    stops = np.linspace(0.0, 1.0, len(_STOPS))
    colours = np.stack([np.interp(scaled, stops, _STOPS[:, channel]) for channel in range(3)], axis=-1)
    grey = frame.astype(np.float64).mean(axis=-1, keepdims=True)
    return np.asarray(np.rint(0.45 * grey + 0.55 * colours), np.uint8)


def draw_contact_sheet(tiles: Sequence[Tile]) -> bytes:
    """The sheet as a PNG: one row for each tile, its two pictures side by side above title and caption."""
    height = _TILE + _CAPTION + _GAP
    sheet = Image.new("RGB", (2 * _TILE + 3 * _GAP, max(len(tiles), 1) * height + _GAP), _BACKGROUND)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(14)
    for row, tile in enumerate(tiles):
        top = _GAP + row * height
        for column, picture in enumerate((tile.frame, tile.overlay)):
            if picture is not None:
                image = Image.fromarray(picture).resize((_TILE, _TILE), Image.Resampling.BILINEAR)
                sheet.paste(image, (_GAP + column * (_TILE + _GAP), top))
        pen.text((_GAP, top + _TILE + 2), _cut_to_width(printable(tile.title), font), _INK, font)
        pen.text((_GAP, top + _TILE + 19), _cut_to_width(printable(tile.caption), font), _FAINT, font)
    png = io.BytesIO()
    sheet.save(png, "PNG")
    return png.getvalue()


def _cut_to_width(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """Cut ``text`` to the width of the sheet."""
    while font.getlength(text) > 2 * _TILE and len(text) > 4:
        text = text[:-4] + "…"
    return text
