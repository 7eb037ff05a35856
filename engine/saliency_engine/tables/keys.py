"""What rows of several tables are joined by: which column it is, and how its values are made alike."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray

from saliency_engine.errors import ConfigError, InputError

KEY_COLUMNS = (
    *("key", "clip_key", "clip_id", "video_id", "chug_video_id", "content_id", "clip_name", "file_name", "filename"),
    *("basename", "name", "src", "source", "source_path", "src_path", "distorted_path", "dis_path", "path"),
    *("flickr_id", "video_name", "File"),  # what KoNViD-1k, KoNViD-150k and LIVE-VQC call it in their score tables
)
"""Columns that name a clip, the likeliest first."""
NORMALIZATIONS = ("auto", "raw", "basename", "stem")
"""How keys are made alike; see ``normalize_keys``."""
_OF_FILES = ("path", "file", "name", "src")


def first_key_column(names: Sequence[str], table: str = "") -> str:
    """The first of ``KEY_COLUMNS`` among ``names``; ``InputError`` naming ``table`` where there is none."""
    for name in KEY_COLUMNS:
        if name in names:
            return name
    where = f"{table}: " if table else ""
    columns = ", ".join(map(repr, names))
    raise InputError(f"{where}no column is known to name the clip; name the one that does. The columns are {columns}")


def normalize_keys(
    values: NDArray[np.object_], column_name: str, how: str = "auto", regex: str | None = None
) -> NDArray[np.object_]:
    """``[n]`` keys of ``str`` or ``None`` from the values of the column ``column_name``, which are so, too.

    ``raw`` leaves them as they are, ``basename`` takes what follows the last slash or backslash, ``stem`` also drops
    the last suffix, and ``auto`` is ``basename`` where the column's name has path, file, name or src in it. Before
    that, ``regex`` takes what its first group matches (without a group: the match); a value that does not match has no
    key. Raises ``ConfigError`` where it is no regular expression.
    """
    if how == "auto":
        how = "basename" if any(word in column_name.lower() for word in _OF_FILES) else "raw"
    change = _CHANGES[how]
    pattern = _compile(regex) if regex else None
    keys = np.empty(len(values), object)
    for place, value in enumerate(values):
        if pattern is not None and value is not None:
            match = pattern.search(value)
            value = match and (match[1] if pattern.groups else match[0])  # noqa: PLW2901  the key is made step by step
        keys[place] = (change(value) or None) if value else None
    return keys


def _compile(regex: str) -> re.Pattern[str]:
    try:
        return re.compile(regex)
    except re.error as error:
        raise ConfigError(f"the key's regular expression {regex!r} is none: {error}") from error


def _basename(value: str) -> str:
    return value.replace("\\", "/").rpartition("/")[2]


def _stem(value: str) -> str:
    return PurePosixPath(_basename(value)).stem


_CHANGES: dict[str, Callable[[str], str]] = {"raw": str, "basename": _basename, "stem": _stem}
