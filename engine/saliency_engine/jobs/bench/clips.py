"""Which of the user's clips are measured with."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from saliency_engine.config import RunConfig, TableJob
from saliency_engine.errors import InputError
from saliency_engine.tables import formats
from saliency_engine.tables.input import open_table
from saliency_engine.types import ClipReference

MOST = 16
"""More clips would only make measuring longer: a round meets some tens."""
# Only for folders, where other files lie about; a file that is named outright is taken whatever its name.
_SUFFIXES = frozenset(
    (
        *(".264", ".265", ".3gp", ".avi", ".flv", ".gif", ".h264", ".h265", ".hevc", ".ivf", ".m2ts", ".m4v", ".mkv"),
        *(".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".mxf", ".obu", ".ogv", ".ts", ".webm", ".wmv", ".y4m"),
    )
)


def find(paths: Sequence[str], config: RunConfig) -> list[ClipReference]:
    """Every clip once that ``paths`` name: files, folders (videos in them and below, by suffix), and tables.

    Tables are told by their suffix and read as ``config`` says. Raises ``InputError`` where a path is none of these,
    or nothing is found.
    """
    found = dict.fromkeys(clip for path in paths for clip in _clips_of(path, config))
    if not found:
        raise InputError(f"no clips in {', '.join(paths)}: files with the suffixes {' '.join(sorted(_SUFFIXES))}")
    return list(found)


def spread(clips: Sequence[ClipReference]) -> list[ClipReference]:
    """At most ``MOST`` of the clips, evenly over the list."""
    count = min(len(clips), MOST)
    return [clips[index * len(clips) // count] for index in range(count)]


def _clips_of(path: str, config: RunConfig) -> Iterator[ClipReference]:
    # The engine starts relative paths of rows from --root; those given here start from the current folder.
    named = Path(path).absolute()
    if named.is_dir():
        for folder, inner, names in os.walk(named):
            inner.sort()
            videos = (name for name in sorted(names) if Path(name).suffix.lower() in _SUFFIXES)
            yield from (ClipReference(str(Path(folder, name))) for name in videos)
    elif not named.is_file():
        raise InputError(f"{path}: no such file or folder")
    elif formats.is_table(path):
        with open_table(TableJob(input=path, output="-"), config) as table:
            for batch in table:
                yield from batch.clips
    else:
        yield ClipReference(str(named))
