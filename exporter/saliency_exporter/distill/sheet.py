"""A sheet of held-out frames: each frame, the teacher's map over it, the student's map over it."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from saliency_engine.report.contact_sheet import overlay
from saliency_exporter.distill.reading import Pictures

MOST_ROWS = 24
_COLUMNS, _SIDE, _GAP = 3, 160, 8


def draw_sheet(frames: Pictures, teacher: NDArray[np.float32], student: NDArray[np.float32]) -> bytes:
    """A PNG of ``frames`` ``[n, 3, H, W]`` with both maps ``[n, H, W]``, three frames in a row of the sheet."""
    chosen = (
        [at * len(frames) // MOST_ROWS for at in range(MOST_ROWS)] if len(frames) > MOST_ROWS else range(len(frames))
    )
    rows = -(-len(chosen) // _COLUMNS)
    width, height = _COLUMNS * (3 * _SIDE + 2 * _GAP) + _GAP, rows * (_SIDE + _GAP) + _GAP
    sheet = Image.new("RGB", (width, height), (20, 20, 23))
    for place, at in enumerate(chosen):
        frame = np.ascontiguousarray(np.moveaxis(frames[at], 0, -1))
        for column, tile in enumerate((frame, overlay(frame, teacher[at]), overlay(frame, student[at]))):
            left = _GAP + place % _COLUMNS * (3 * _SIDE + 2 * _GAP) + column * (_SIDE + 2)
            top = _GAP + place // _COLUMNS * (_SIDE + _GAP)
            sheet.paste(Image.fromarray(tile).resize((_SIDE, _SIDE), Image.Resampling.BILINEAR), (left, top))
    file = io.BytesIO()
    sheet.save(file, "PNG")
    return file.getvalue()
