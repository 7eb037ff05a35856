"""A contact sheet: for each clip one of its frames, and beside it the same frame under its saliency."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from saliency_engine.errors import ConfigError
from saliency_engine.report.terminal import printable

PICTURE = (400, 300)
"""Width and height in pixels that a picture fits into."""
_FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".pdf": "PDF"}
_MARGIN, _GAP, _SEAM = 28, 26, 4  # pixels: around the sheet, between tiles, between the two pictures of a tile
_HEAD, _CAPTION = 76, 76  # the heights of what stands above all tiles, and below the pictures of each
_BAR = (240, 10)
_ASPECT = 1.45  # of the sheet, about; that of most screens and of paper
_BACKGROUND, _PANEL = (20, 20, 23), (30, 30, 35)
_GREY = 115.0  # behind the colour bar: of most frames about the mean
_INK, _FAINT, _ALARM = (242, 242, 244), (158, 158, 168), (240, 140, 120)
# Colour stops of the overlay from 0 to 1 (dark violet, magenta, orange, pale yellow): ordered in lightness, so that
# the picture also reads in grey and for the colour-blind.
_STOPS = np.array([(0, 0, 4), (87, 16, 110), (188, 55, 84), (249, 142, 9), (252, 255, 164)], np.float64)
_Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@dataclass(frozen=True)
class Tile:
    """One clip on the sheet. A clip that failed has no pictures, and a ``reason``."""

    title: str
    numbers: str = ""
    settings: str = ""
    reason: str = ""
    frame: NDArray[np.uint8] | None = None
    """R'G'B' ``[H, W, 3]``, of at most the size ``PICTURE``."""
    heat: NDArray[np.float32] | None = None
    """The frame's saliency ``[map_H, map_W]`` in [0, 1], its aspect not that of the frame."""


def format_of(path: str) -> str:
    """Pillow's name of the format that a sheet's suffix names. Raises ``ConfigError`` for any other suffix."""
    suffix = Path(path).suffix.lower()
    if suffix not in _FORMATS:
        raise ConfigError(f"--output {path}: a sheet ends in one of {', '.join(_FORMATS)}")
    return _FORMATS[suffix]


def overlay(frame: NDArray[np.uint8], heat: NDArray[np.float32]) -> NDArray[np.uint8]:
    """The map ``heat`` ``[map_H, map_W]`` in [0, 1], in colour, over ``frame`` ``[H, W, 3]`` in grey."""
    scaled = np.asarray(Image.fromarray(heat).resize(frame.shape[1::-1], Image.Resampling.BILINEAR))
    grey = frame.astype(np.float64).mean(axis=-1, keepdims=True)
    return _blend(grey, scaled)


def draw_contact_sheet(tiles: Sequence[Tile], title: str, format: str) -> bytes:
    """The sheet as a file of Pillow's ``format``: ``title`` and a colour bar, and below them the tiles in a grid."""
    width, height = 2 * PICTURE[0] + _SEAM, max(map(_height_of, tiles), default=0) + _CAPTION
    columns = _choose_columns(len(tiles), width + _GAP, height + _GAP)
    rows = [tiles[at : at + columns] for at in range(0, len(tiles), columns)]
    heights = [max(map(_height_of, row)) + _CAPTION for row in rows]
    size = (
        2 * _MARGIN + columns * (width + _GAP) - _GAP,
        2 * _MARGIN + _HEAD + sum(heights) + _GAP * max(len(rows) - 1, 0),
    )
    sheet = Image.new("RGB", size, _BACKGROUND)
    _draw_head(sheet, title)
    top = _MARGIN + _HEAD
    for row, row_height in zip(rows, heights, strict=True):
        for column, tile in enumerate(row):
            _draw_tile(sheet, tile, (_MARGIN + column * (width + _GAP), top), (width, row_height - _CAPTION))
        top += row_height + _GAP
    file = io.BytesIO()
    sheet.save(
        file, format, **({"quality": 92} if format == "JPEG" else {"resolution": 144} if format == "PDF" else {})
    )
    return file.getvalue()


def _blend(grey: NDArray[np.float64] | float, heat: NDArray[np.float32]) -> NDArray[np.uint8]:
    """``heat`` in [0, 1] as colours over ``grey`` in [0, 255]; R'G'B' on a last axis more."""
    stops = np.linspace(0.0, 1.0, len(_STOPS))
    colours = np.stack([np.interp(heat, stops, _STOPS[:, channel]) for channel in range(3)], axis=-1)
    return np.asarray(np.rint(0.4 * grey + 0.6 * colours), np.uint8)


def _choose_columns(count: int, width: int, height: int) -> int:
    """So many columns of ``count`` tiles that the sheet comes nearest to ``_ASPECT``."""

    def misfit(columns: int) -> float:
        return abs(math.log(columns * width / (math.ceil(count / columns) * height) / _ASPECT))

    return min(range(1, count + 1), key=misfit, default=1)


def _height_of(tile: Tile) -> int:
    return PICTURE[1] // 2 if tile.frame is None else tile.frame.shape[0]


def _draw_head(sheet: Image.Image, title: str) -> None:
    pen, bar_left = ImageDraw.Draw(sheet), sheet.width - _MARGIN - _BAR[0]
    pen.text((_MARGIN, _MARGIN), _cut(printable(title), _font(24), bar_left - 2 * _MARGIN), _INK, _font(24))
    bar = _blend(_GREY, np.tile(np.linspace(0, 1, _BAR[0], dtype=np.float32), (_BAR[1], 1)))
    sheet.paste(Image.fromarray(bar), (bar_left, _MARGIN + 4))
    for value, anchor in ((0.0, "la"), (0.5, "ma"), (1.0, "ra")):
        words = f"{value:g}"
        pen.text((bar_left + value * _BAR[0], _MARGIN + 20), words, _FAINT, _font(14), anchor)
    pen.text((bar_left - 12, _MARGIN), "saliency", _FAINT, _font(15), "ra")


def _draw_tile(sheet: Image.Image, tile: Tile, place: tuple[int, int], size: tuple[int, int]) -> None:
    """Draw ``tile`` at ``place``: its pictures in an area of ``size``, and its words below that."""
    (left, top), (width, height), pen = place, size, ImageDraw.Draw(sheet)
    pen.rectangle((left, top, left + width - 1, top + height - 1), _PANEL)
    if tile.frame is None or tile.heat is None:
        for number, line in enumerate(_wrap(printable(tile.reason), _font(17), width - 40)[: (height - 32) // 24]):
            pen.text((left + 20, top + 16 + 24 * number), line, _ALARM, _font(17))
    else:
        high, wide = tile.frame.shape[:2]
        middle = left + width // 2, top + (height - high) // 2
        sheet.paste(Image.fromarray(tile.frame), (middle[0] - _SEAM // 2 - wide, middle[1]))
        sheet.paste(Image.fromarray(overlay(tile.frame, tile.heat)), (middle[0] + _SEAM // 2, middle[1]))
    for text, down, size_of_font, ink in (
        (tile.title, 9, 18, _INK),
        (tile.numbers, 33, 16, _INK),
        (tile.settings, 54, 15, _FAINT),
    ):
        font = _font(size_of_font)
        pen.text((place[0], top + height + down), _cut(printable(text), font, width), ink, font)


def _font(size: int) -> _Font:
    return ImageFont.load_default(size)


def _cut(text: str, font: _Font, width: float) -> str:
    """``text`` cut in its middle to ``width`` pixels: the ends of file names tell most."""
    if font.getlength(text) <= width:
        return text
    keep = len(text)
    while keep > 2 and font.getlength(f"{text[: keep // 2]}…{text[-(keep - keep // 2) :]}") > width:
        keep -= 1
    return f"{text[: keep // 2]}…{text[-(keep - keep // 2) :]}"


def _wrap(text: str, font: _Font, width: float) -> list[str]:
    """``text`` in lines of at most ``width`` pixels; a longer word, such as a path, is cut."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(_cut(word, font, width))
    return [line for line in lines if line]
