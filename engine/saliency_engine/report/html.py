"""Pages that are one file: templates of ``assets/pages/`` filled in, with charts and pictures inside them.

A page loads nothing, is light or dark as its reader's system is, and fits a phone. Whatever is filled in is escaped,
unless it is ``Markup``.
"""

from __future__ import annotations

import base64
import io
import math
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from saliency_engine.machine import versions
from saliency_engine.report.contact_sheet import Tile, overlay
from saliency_engine.report.terminal import printable

_PAGES = Path(__file__).parents[1] / "assets" / "pages"
_ABSENT = "–"
_PICTURE = (288, 288)
"""Width and height that pictures fit into, in pixels: twice what a page gives them, for dense screens."""
_QUALITY = 78
"""Of JPEG: such a picture takes some 10 kB."""


def render_page(template: str, **values: Any) -> str:
    """The page that ``template``, a file of ``assets/pages/``, makes of ``values``; ``title`` is one of them.

    Templates extend ``base.html`` and take tables, charts and thumbnails from ``macros.html``. A value that a template
    needs and does not get is an error. Their filters are ``number``, ``signed``, ``interval``, ``count`` and ``share``.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # noqa: PLC0415

    environment = Environment(
        loader=FileSystemLoader(_PAGES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_to_text,
    )
    filters = {"number": number, "signed": signed, "interval": interval, "count": count, "share": share}
    environment.filters.update(filters)
    made = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    return environment.get_template(template).render(version=versions().get("saliency-batch", ""), made=made, **values)


def number(value: float | None, digits: int = 3) -> str:
    """``value`` with ``digits`` decimals; a dash where there is none."""
    if value is None or not math.isfinite(value):
        return _ABSENT
    return f"{value:.{digits}f}".replace("-", "−")


def signed(value: float | None, digits: int = 3) -> str:
    """As ``number``, always with a sign."""
    if value is None or not math.isfinite(value):
        return _ABSENT
    return f"{value:+.{digits}f}".replace("-", "−")


def interval(ends: tuple[float, float] | None, digits: int = 3) -> str:
    """``[low, high]``; nothing where there is no interval."""
    if ends is None or not all(map(math.isfinite, ends)):
        return ""
    return f"[{number(ends[0], digits)}, {number(ends[1], digits)}]"


def count(value: int) -> str:
    """A whole number with its thousands apart."""
    return f"{value:,}"


def share(value: float | None) -> str:
    """A part of 1 in percent; never 100% or 0% where it is not all or nothing."""
    if value is None or math.isnan(value):
        return _ABSENT
    if 0 < value < 0.001 or 0.999 < value < 1:
        return "< 0.1%" if value < 0.5 else "> 99.9%"
    return f"{value:.0%}" if value in {0, 1} else f"{value:.1%}"


@dataclass(frozen=True)
class Thumbnail:
    """A clip on a page: two pictures, or a frame alone, or a reason."""

    title: str
    lines: tuple[str, ...]
    """Below the title."""
    frame: str = ""
    """A URL that holds the picture. So is ``overlay``, the frame under its saliency."""
    overlay: str = ""
    reason: str = ""


def thumbnail_of(tile: Tile, *lines: str) -> Thumbnail:
    """The tile of a contact sheet as a page has it, with ``lines`` below its title."""
    title = Path(tile.title).name
    if tile.frame is None:
        return Thumbnail(title, lines, reason=tile.reason)
    picture = overlay(tile.frame, tile.heat) if tile.heat is not None else None
    return Thumbnail(title, lines, as_jpeg(tile.frame), as_jpeg(picture) if picture is not None else "")


def as_jpeg(picture: NDArray[np.uint8]) -> str:
    """A picture ``[H, W, 3]`` of R'G'B' as a URL that holds it, made as small as a page shows it."""
    file = io.BytesIO()
    image = Image.fromarray(picture)
    image.thumbnail(_PICTURE)
    image.save(file, "JPEG", quality=_QUALITY, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode("ascii")


def _to_text(value: Any) -> Any:
    """What a template shows of ``value``: no control characters, no marks that turn the direction of writing."""
    return printable(value) if type(value) is str else value
