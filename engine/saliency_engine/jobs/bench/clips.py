"""The user's clips that a benchmark measures with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress

from saliency_engine.config import RunConfig
from saliency_engine.errors import ClipError, InputError
from saliency_engine.storage.locate import Locator
from saliency_engine.storage.overwrite import Files
from saliency_engine.tables.columns import columns_of
from saliency_engine.tables.input import open_table
from saliency_engine.types import ClipReference

MOST = 16
"""A benchmark uses no more clips: a round takes some tens, so more would only make measuring longer."""


def find(paths: Sequence[str], config: RunConfig, files: Files | None = None) -> list[ClipReference]:
    """The clips that ``paths`` name, each once. A path is a table with ``config``'s columns, or clips as in `run`.

    ``files`` are those of the command. Raises ``InputError`` where a path does not exist, or there is no clip at all,
    and ``ConfigError`` where the command would write over a clip.
    """
    files = files or Files()
    clips = dict.fromkeys(clip for path in paths for clip in _clips_of(path, config, files))
    locator = Locator(config, files)
    for clip in clips:
        with suppress(ClipError):  # the benchmark will say so
            locator.locate(clip)
    if not clips:
        raise InputError(f"no clips in {', '.join(paths)}: name clips, folders of clips, or tables with rows")
    return list(clips)


def spread(clips: Sequence[ClipReference]) -> list[ClipReference]:
    """At most ``MOST`` of the clips, evenly chosen from the list."""
    count = min(len(clips), MOST)
    return [clips[index * len(clips) // count] for index in range(count)]


def _clips_of(path: str, config: RunConfig, files: Files) -> Iterator[ClipReference]:
    with open_table(path, columns_of(config), root=config.root) as table:
        files.reads("CLIPS", *table.parts)
        for batch in table:
            yield from batch.clips
