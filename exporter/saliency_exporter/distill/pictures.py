"""What a student learns from: frames of clips, and pictures, each known by where it comes from."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from saliency_engine.config import BUILT_IN_MODEL, RunConfig
from saliency_engine.errors import ClipError, InputError
from saliency_engine.report.provenance import file_sha256
from saliency_engine.storage.locate import Locator
from saliency_engine.storage.overwrite import Files
from saliency_engine.types import ClipReference, DecodeSpec, Uniform
from saliency_engine.video.decode import decode_frames
from saliency_exporter.sample_frames import list_clips

PER_CLIP = 8
"""Frames that are taken of a clip, evenly over it."""
_SUFFIXES = frozenset((".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"))
_LEAST_GROUPS = 4
Pictures = NDArray[np.uint8]


@dataclass(frozen=True)
class Source:
    """A clip or a picture, and which frames are of it."""

    path: str
    sha256: str
    """Of the file."""
    group: str
    """What is held out together: a clip, a picture, or all pictures in one folder below the one that was named."""
    frames: range
    """Indices of its frames among all."""
    is_held_out: bool = False


@dataclass(frozen=True)
class Corpus:
    """All frames, and where they come from."""

    frames: Pictures
    """R'G'B' of 8 bits, ``[n, 3, H, W]``; in a file where they do not fit into memory."""
    sources: tuple[Source, ...]
    left_out: tuple[str, ...]
    """Why clips of tables and folders are missing: one sentence each."""

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the frames, in pixels."""
        height, width = self.frames.shape[2:]
        return height, width

    def indices(self, *, held_out: bool) -> list[int]:
        """The frames that are held out, or those that are learned from."""
        return [at for source in self.sources if source.is_held_out == held_out for at in source.frames]


def collect(paths: Sequence[str], size: tuple[int, int], store: Path, files: Files, seed: int) -> Corpus:
    """The frames of what ``paths`` name: clips, pictures, folders of both, and tables. They are kept in ``store``.

    ``size``: the height and width that they get, in pixels.

    An eighth of the groups is held out, at least 8 where there are 32 of them, and a quarter where there are fewer:
    those whose names' hashes, which ``seed`` changes, are least. Raises ``InputError`` when a file that ``paths`` name
    itself cannot be read, or there are fewer than 4 groups; ``ConfigError`` when the command would write one of them.
    """
    sources: list[Source] = []
    left_out: list[str] = []
    with store.open("wb") as file:
        for path, group, pictures in _read_all(paths, size, files, left_out):
            first = sources[-1].frames.stop if sources else 0
            sources.append(Source(path, file_sha256(Path(path)), group, range(first, first + len(pictures))))
            file.write(pictures.tobytes())
    if not sources:
        raise InputError(f"none of the clips and pictures in {', '.join(paths)} can be read: {'; '.join(left_out[:3])}")
    held_out = _hold_out({source.group for source in sources}, seed)
    shape = (sources[-1].frames.stop, 3, *size)
    divided = [Source(s.path, s.sha256, s.group, s.frames, s.group in held_out) for s in sources]
    return Corpus(np.memmap(store, np.uint8, "r", shape=shape), tuple(divided), tuple(left_out))


def _hold_out(groups: set[str], seed: int) -> set[str]:
    if len(groups) < _LEAST_GROUPS:
        raise InputError(
            f"the frames come from {len(groups)} clips or folders of pictures: a student needs at least "
            f"{_LEAST_GROUPS}, because some are held out to judge it"
        )
    count = max(len(groups) // 8, min(8, len(groups) // 4))
    return set(sorted(groups, key=lambda group: hashlib.sha256(f"{seed} {group}".encode()).digest())[:count])


def _read_all(
    paths: Sequence[str], size: tuple[int, int], files: Files, left_out: list[str]
) -> Iterator[tuple[str, str, Pictures]]:
    """Path, group and frames of each clip and picture."""
    for path in paths:
        pictures = sorted(file for file in Path(path).rglob("*") if _is_picture(file)) if Path(path).is_dir() else []
        if _is_picture(Path(path)):
            pictures = [Path(path)]
        for picture in pictures:
            files.reads("--frames", picture)
            group = picture if picture.parent == Path(path) or picture == Path(path) else picture.parent
            yield str(picture), str(group), _read_picture(picture, size)
        if not pictures:
            yield from _decode_all(path, size, files, left_out)


def _decode_all(
    path: str, size: tuple[int, int], files: Files, left_out: list[str]
) -> Iterator[tuple[str, str, Pictures]]:
    spec = DecodeSpec(size[1], size[0], Uniform(PER_CLIP), color="auto", accept_short=True)
    locator = Locator(RunConfig(model=BUILT_IN_MODEL), files)
    clips, indirect = list_clips([path])
    for clip in clips:
        try:
            frames = _decode(locator, clip, spec)
        except ClipError as error:
            if clip not in indirect:
                raise InputError(f"{clip.path}: {error}") from error
            left_out.append(f"{clip.path}: {error}")
            continue
        yield clip.path, clip.path, frames


def _decode(locator: Locator, clip: ClipReference, spec: DecodeSpec) -> Pictures:
    pictures, _ = decode_frames(locator.locate(clip), spec)
    return ((pictures.astype(np.uint32) + 128) // 257).astype(np.uint8)


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in _SUFFIXES


def _read_picture(path: Path, size: tuple[int, int]) -> Pictures:
    try:
        with Image.open(path) as picture:
            scaled = picture.convert("RGB").resize(size[::-1], Image.Resampling.BILINEAR, reducing_gap=3.0)
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise InputError(f"the picture {path} cannot be read: {error}") from error
    return np.moveaxis(np.asarray(scaled), -1, 0)[np.newaxis]
