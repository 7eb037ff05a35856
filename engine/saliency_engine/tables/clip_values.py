"""From the values in a row's columns to the clip that it names."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any

from saliency_engine.errors import InputError
from saliency_engine.tables.clip_list import is_clip
from saliency_engine.tables.columns import Columns
from saliency_engine.types import ClipReference

_MOST_PIXELS = 2**31 - 1  # FFmpeg's own bound


def make_clip(columns: Columns, *values: Any) -> ClipReference:
    """The clip that a row names; ``values`` are those of ``columns.of_clips``, ``None`` where there is none.

    With a template, paths are made from text and whole numbers; fractions are to be given as text.
    """
    *parts, width, height, pixel_format = values
    if columns.template:
        path, problem = columns.template.fill([_as_text(part) for part in parts])
    else:
        path, problem = parts[0] if parts and isinstance(parts[0], str) else "", ""
    named = pixel_format if isinstance(pixel_format, str) and pixel_format else None
    return ClipReference(path, _read_size(width), _read_size(height), named, problem, columns.whole)


def _as_text(value: Any) -> str | None:
    return value if isinstance(value, str) else str(value) if type(value) is int else None


def _read_size(value: Any) -> int | None:
    """``value`` in pixels, ``None`` where it is no positive whole number that FFmpeg takes; in CSV it is text."""
    if isinstance(value, str) and value.strip().isdecimal() and len(value) < 20:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if 0 < value <= _MOST_PIXELS and value == int(value) else None


def explain_absence(columns: Columns, name: str, names: Sequence[str]) -> InputError:
    """The error that a table with the columns ``names`` lacks ``name``, from which clips' paths are made."""
    option = "--path-template, --path-regex" if columns.template else "--path-column"
    spellings = {other.lower(): other for other in names}
    close = difflib.get_close_matches(name.lower(), spellings, n=1)
    hint = f"did you mean {spellings[close[0]]!r}? " if close else ""
    has = ", ".join(map(repr, names)) or "none"
    place = next((place for place, other in enumerate(names, 1) if is_clip(other)), 0)
    row = f". The first line looks like a row: give --no-header --path-column column_{place}" if place else ""
    return InputError(f"no column {name!r} ({option}); {hint}the input's columns: {has}{row}")
