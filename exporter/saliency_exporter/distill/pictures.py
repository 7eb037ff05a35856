"""What a student learns from: frames of clips, and pictures, each known by where it comes from."""

from __future__ import annotations

import hashlib
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from saliency_engine.errors import ClipError, InputError
from saliency_engine.machine import cores
from saliency_engine.report.terminal import counted
from saliency_engine.storage.atomic import naming
from saliency_engine.storage.overwrite import Files
from saliency_exporter.distill.listing import Listed, list_sources
from saliency_exporter.distill.reading import PER_CLIP, Pictures, Reader
from saliency_exporter.distill.versions import join_versions, shrink

MOST_FRAMES = 20_000
"""In all: 6 GB at 320×320, with as many maps 10 GB."""
_LEAST_GROUPS = 4


@dataclass(frozen=True)
class Source:
    """A clip or a picture, and which frames are of it."""

    path: str
    """As it was named."""
    sha256: str
    """Of the file."""
    group: str
    """What is held out together: a clip, a picture, or all pictures in one folder; with what shows the same."""
    frames: range
    """Indices of its frames among all."""
    is_held_out: bool = False


@dataclass(frozen=True)
class Corpus:
    """All frames, and where they come from."""

    frames: Pictures
    """``[n, 3, H, W]``, in a file."""
    sources: tuple[Source, ...]
    left_out: tuple[str, ...]
    """What of the named is not used, and why: one sentence each."""

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the frames, in pixels."""
        height, width = self.frames.shape[2:]
        return height, width

    def indices(self, *, held_out: bool) -> list[int]:
        """The frames that are held out, or those that are learned from."""
        return [at for source in self.sources if source.is_held_out == held_out for at in source.frames]

    def spread(self, most: int) -> list[int]:
        """``most`` held-out frames, evenly over all of them, or all."""
        all_of_them = self.indices(held_out=True)
        count = min(most, len(all_of_them))
        return [all_of_them[at * len(all_of_them) // count] for at in range(count)]


def collect(
    paths: Sequence[str],
    size: tuple[int, int],
    store: Path,
    *,
    files: Files,
    seed: int,
    show: Callable[[int, int], None],
    results: Sequence[Path] = (),
) -> Corpus:
    """The frames of what ``paths`` name: clips, pictures, folders of both, and tables. They are kept in ``store``.

    ``size``: the height and width that they get, in pixels. ``show`` is told how many of how many have been read. A
    file that is there twice is taken once; of more than give ``MOST_FRAMES`` as many are taken, evenly over the list.
    ``results``, the files that the command writes, are passed over in folders.

    An eighth of the groups is held out, at least 8 where there are 32 of them, and a quarter where there are fewer:
    those whose contents' hashes, which ``seed`` changes, are least. Raises ``InputError`` when a file that ``paths``
    name itself cannot be read, or there are fewer than 4 groups; ``ConfigError`` when the command would write one of
    them; ``OutputError`` when ``store`` cannot be written.
    """
    listed, left_out = _limit(list_sources(paths, results))
    # Pillow warns of large pictures, which a camera makes. Not in the threads that read: the filters are one for all.
    with naming(store), store.open("wb") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sources, looks = _keep(listed, Reader(size, files), file, left_out, show)
    if not sources:
        raise InputError(f"none of the clips and pictures in {', '.join(paths)} can be read: {'; '.join(left_out[:3])}")
    groups = join_versions([source.group for source in sources], np.stack(looks))
    joined = [replace(source, group=group) for source, group in zip(sources, groups, strict=True)]
    frames = np.memmap(store, np.uint8, "r", shape=(sources[-1].frames.stop, 3, *size))
    return Corpus(frames, tuple(_hold_out(joined, seed)), tuple(left_out))


def _keep(
    listed: list[Listed], reader: Reader, file: BinaryIO, left_out: list[str], show: Callable[[int, int], None]
) -> tuple[list[Source], list[NDArray[np.float32]]]:
    """Write the frames of all that can be read to ``file``; returns the sources, and what they look like."""
    sources: dict[str, Source] = {}
    looks = []
    end = 0
    for at, (one, reading) in enumerate(_read_ahead(listed, reader)):
        show(at, len(listed))
        try:
            sha256, frames = reading.result()
        except ClipError as error:
            if one.is_named:
                raise InputError(f"{one.clip.path}: {error}") from error
            left_out.append(f"{one.clip.path}: {error}")
            continue
        if sha256 in sources:
            continue
        sources[sha256] = Source(one.clip.path, sha256, one.group, range(end, end + len(frames)))
        end += len(frames)
        looks.append(shrink(frames))
        file.write(frames.tobytes())
    return list(sources.values()), looks


def _read(reader: Reader, one: Listed) -> tuple[str, Pictures]:
    return reader.hash(one), reader.read(one)


def _read_ahead(listed: list[Listed], reader: Reader) -> Iterator[tuple[Listed, Future[tuple[str, Pictures]]]]:
    """What is listed, in order, with its file's sha256 and its frames to come: one for each core is being read."""
    with ThreadPoolExecutor(cores(), thread_name_prefix="read") as pool:
        readings: deque[tuple[Listed, Future[tuple[str, Pictures]]]] = deque()
        try:
            for one in listed:
                readings.append((one, pool.submit(_read, reader, one)))
                if len(readings) > cores():
                    yield readings.popleft()
            yield from readings
        finally:
            pool.shutdown(cancel_futures=True)


def _limit(listed: list[Listed]) -> tuple[list[Listed], list[str]]:
    """As many as ``MOST_FRAMES`` allow, and a sentence about the others."""
    frames = sum(1 if one.is_picture else PER_CLIP for one in listed)
    if frames <= MOST_FRAMES:
        return listed, []
    count = len(listed) * MOST_FRAMES // frames
    sentence = f"{len(listed) - count} of {len(listed)} clips and pictures: the others have {MOST_FRAMES} frames"
    return [listed[at * len(listed) // count] for at in range(count)], [sentence]


def _hold_out(sources: list[Source], seed: int) -> list[Source]:
    """The same sources, of which some are held out."""
    hashes: dict[str, list[str]] = {}
    for source in sources:
        hashes.setdefault(source.group, []).append(source.sha256)
    if len(hashes) < _LEAST_GROUPS:
        raise InputError(
            f"the frames come from {counted(len(hashes), 'source')}, where clips and pictures that show the same, and "
            f"pictures in one folder, are one: a student needs at least {_LEAST_GROUPS}, because some are held out to "
            "judge it"
        )
    count = max(len(hashes) // 8, min(8, len(hashes) // 4))
    order = {group: hashlib.sha256(f"{seed} {min(own)}".encode()).digest() for group, own in hashes.items()}
    held_out = set(sorted(order, key=order.__getitem__)[:count])
    return [replace(source, is_held_out=source.group in held_out) for source in sources]
