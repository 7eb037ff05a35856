"""Which clips and pictures a command names: one by one, in folders, by patterns, in lists and tables."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from saliency_engine.errors import InputError
from saliency_engine.storage.urls import NO_URLS, is_url
from saliency_engine.tables.clip_list import is_clip, is_group, list_files
from saliency_engine.types import ClipReference
from saliency_exporter.sample_frames import list_clips

_SUFFIXES = frozenset((".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"))


@dataclass(frozen=True)
class Listed:
    """A clip or a picture that is to be read."""

    clip: ClipReference
    """Of a picture its path alone."""
    is_picture: bool
    group: str
    """What is held out together: itself, or all pictures in one folder below the one that was named."""
    is_named: bool
    """It was named itself, so that it must be readable."""


def list_sources(paths: Sequence[str], without: Sequence[Path] = ()) -> list[Listed]:
    """The clips and pictures that ``paths`` name, in order. Raises ``InputError`` and ``ConfigError``.

    A table's relative paths start from the current folder. Of a folder or pattern the files ``without`` are left out:
    those that an earlier command has written there.
    """
    left_out = {os.path.realpath(path) for path in without}
    return [listed for path in paths for listed in _list_one(path, left_out)]


def _list_one(path: str, left_out: set[str]) -> Iterator[Listed]:
    if is_group(path):
        files = [file for file in list_files(path) if os.path.realpath(file) not in left_out]
        pictures = [file for file in files if _is_picture(file)]
        yield from _list_pictures(path, pictures)
        if pictures and not any(map(is_clip, files)):
            return
    elif _is_picture(path):
        if is_url(path) and not Path(path).exists():
            raise InputError(f"{path}: {NO_URLS}")
        yield Listed(ClipReference(path), True, path, True)
        return
    clips, indirect = list_clips([path])
    for clip in clips:
        yield Listed(clip, _is_picture(clip.path), clip.path, clip not in indirect)


def _list_pictures(path: str, pictures: list[str]) -> Iterator[Listed]:
    """Of a folder or pattern: pictures in one folder below it are taken for the frames of one clip."""
    folders = [os.path.dirname(picture) for picture in pictures]  # noqa: PTH120  pathlib would drop ./
    top = Path(path) if Path(path).is_dir() else Path(os.path.commonpath(folders)) if folders else Path()
    for picture, folder in zip(pictures, folders, strict=True):
        yield Listed(ClipReference(picture), True, picture if Path(folder) == top else folder, False)


def _is_picture(path: str) -> bool:
    return Path(path).suffix.lower() in _SUFFIXES
