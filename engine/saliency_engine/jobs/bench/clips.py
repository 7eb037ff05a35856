"""The user's clips that a benchmark measures with."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from saliency_engine.config import RunConfig
from saliency_engine.errors import InputError
from saliency_engine.tables import formats
from saliency_engine.tables.columns import columns_of
from saliency_engine.tables.input import open_table
from saliency_engine.types import ClipReference

MOST = 16
"""A benchmark uses no more clips: a round takes some tens, so more would only make measuring longer."""
# For folders only, where there are other files too. A file that the user names is taken whatever its suffix.
_SUFFIXES = frozenset(
    (
        ".264",
        ".265",
        ".3gp",
        ".avi",
        ".flv",
        ".gif",
        ".h264",
        ".h265",
        ".hevc",
        ".ivf",
        ".m2ts",
        ".m4v",
        ".mkv",
        ".mov",
        ".mp4",
        ".mpeg",
        ".mpg",
        ".mts",
        ".mxf",
        ".obu",
        ".ogv",
        ".ts",
        ".webm",
        ".wmv",
        ".y4m",
    )
)


def find(paths: Sequence[str], config: RunConfig) -> list[ClipReference]:
    """The clips that ``paths`` name, each once. A path is a clip, a table of clips, or a folder.

    A table has the suffix of one, and is read as ``config`` says. Of a folder and those below it all files are taken
    that have a video's suffix. Raises ``InputError`` where a path does not exist, or there is no clip at all.
    """
    clips = dict.fromkeys(clip for path in paths for clip in _clips_of(path, config))
    if not clips:
        raise InputError(f"no clips in {', '.join(paths)}: files with the suffixes {' '.join(sorted(_SUFFIXES))}")
    return list(clips)


def spread(clips: Sequence[ClipReference]) -> list[ClipReference]:
    """At most ``MOST`` of the clips, evenly chosen from the list."""
    count = min(len(clips), MOST)
    return [clips[index * len(clips) // count] for index in range(count)]


def _clips_of(path: str, config: RunConfig) -> Iterator[ClipReference]:
    # Absolute, because a relative path is the command line's here: the engine would take it from --root.
    named = Path(path).absolute()
    if named.is_dir():
        for folder, inner, names in os.walk(named):
            inner.sort()
            videos = (name for name in sorted(names) if Path(name).suffix.lower() in _SUFFIXES)
            yield from (ClipReference(str(Path(folder, name))) for name in videos)
    elif not named.is_file():
        raise InputError(f"{path}: no such file or folder")
    elif formats.is_table(path):
        with open_table(path, columns_of(config)) as table:
            for batch in table:
                yield from batch.clips
    else:
        yield ClipReference(str(named))
