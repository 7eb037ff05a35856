"""Frames to calibrate and measure models on: from the user's clips, and made by formula where there are none.

Every function gives float32 ``[n, 3, height, width]``, ImageNet-normalised: what the engine feeds a model.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from saliency_engine.config import BUILT_IN_MODEL, RunConfig, TableJob
from saliency_engine.errors import ClipError, ConfigError, InputError
from saliency_engine.numerics.normalize import IMAGENET_MEAN, IMAGENET_STD, normalize
from saliency_engine.storage.locate import Locator
from saliency_engine.tables import formats
from saliency_engine.tables.input import open_table
from saliency_engine.types import ClipReference, DecodeSpec, Uniform
from saliency_engine.video.decode import decode_clip
from saliency_engine.video.synthetic import natural_fields

Frames = NDArray[np.float32]

FROM_CLIPS = 128
"""Frames taken in all, shared evenly among the clips: 157 MB at 320×320."""
MOST_CLIPS = 64


def from_sources(sources: Sequence[str], height: int, width: int, most: int = FROM_CLIPS) -> Frames:
    """Frames spread evenly over the clips that ``sources`` name: clips, or tables of them by their suffix.

    Clip after clip, each in order of time; every clip gives the same number, at least 2, unless it is shorter. A
    table's columns are the contract's (``src``, ``width``, ``height``), its paths start from the current folder, and
    rows whose clip cannot be decoded are passed over. Raises ``InputError`` when a clip that is named outright cannot
    be decoded, and when nothing is left.
    """
    clips, skippable = _clips(sources)
    if len(clips) > MOST_CLIPS:
        clips = [clips[i * len(clips) // MOST_CLIPS] for i in range(MOST_CLIPS)]
    per_clip = max(2, most // max(len(clips), 1))
    spec = DecodeSpec(width, height, Uniform(per_clip), color="auto", accept_short=True)
    locator = Locator(_config())
    found: list[Frames] = []
    for clip in clips:
        try:
            found.append(_decoded(locator, clip, spec))
        except ClipError as error:
            if clip not in skippable:
                raise InputError(f"{clip.path}: {error}") from error
    if not found:
        raise InputError(f"no clip that can be decoded in {', '.join(sources)}")
    return np.concatenate(found)


def for_measuring(sources: Sequence[str], height: int, width: int) -> Frames:
    """Sixteen natural frames and the extreme ones made here, and frames of ``sources`` where there are any."""
    parts = [natural(16, height, width), extreme(height, width)]
    return np.concatenate(parts + ([from_sources(sources, height, width, most=32)] if sources else []))


def natural(count: int, height: int, width: int) -> Frames:
    """Pictures with the 1/f spectrum of photographs, and soft shapes before them; the same every time."""
    return _normalised([_scene(np.random.default_rng(seed), height, width) for seed in range(count)])


def extreme(height: int, width: int) -> Frames:
    """Eight frames at the ends of what a decoder can give: flat ones, noise, edges at the limit of resolution."""
    rng = np.random.default_rng(2020)
    rows, columns = np.mgrid[0:height, 0:width]
    patterns: list[Callable[[], NDArray[np.float64]]] = [
        lambda: np.zeros((height, width)),
        lambda: np.ones((height, width)),
        lambda: np.stack([np.ones((height, width)), *2 * [np.zeros((height, width))]]),
        lambda: rng.random((3, height, width)),
        lambda: (rng.random((3, height, width)) < 0.5).astype(np.float64),
        lambda: ((rows + columns) % 2).astype(np.float64),
        lambda: (columns < width // 2).astype(np.float64),
        lambda: ((rows == 0) & (columns == 0)).astype(np.float64),
    ]
    return _normalised([np.broadcast_to(pattern(), (3, height, width)) for pattern in patterns])


def _clips(sources: Sequence[str]) -> tuple[list[ClipReference], set[ClipReference]]:
    """Distinct clips in order, and those of them that only a table names."""
    named: dict[ClipReference, bool] = {}
    for source in sources:
        try:
            formats.of_path(source, "frames")
        except ConfigError:
            named[ClipReference(source)] = False
            continue
        with open_table(TableJob(input=source, output="-"), _config()) as table:
            for batch in table:
                for row in batch.clips:
                    named.setdefault(row, True)
    return list(named), {clip for clip, from_table in named.items() if from_table}


def _config() -> RunConfig:
    """The contract's columns; rows that have a saliency already serve as well as others."""
    return RunConfig(model=BUILT_IN_MODEL, overwrite=True)


def _decoded(locator: Locator, clip: ClipReference, spec: DecodeSpec) -> Frames:
    pictures = np.zeros((spec.frames_per_clip, 3, spec.height, spec.width), np.uint16)
    count = decode_clip(locator.locate(clip), spec, pictures).frames
    frames = np.empty((count, 3, spec.height, spec.width), np.float32)
    normalize(pictures[:count], frames)
    return frames


def _scene(rng: np.random.Generator, height: int, width: int) -> NDArray[np.float64]:
    """R'G'B' in [0, 1] ``[3, height, width]``: a 1/f background that the channels mostly share, and three blobs."""
    fields = natural_fields(rng, height, width)
    picture = rng.uniform(0.3, 0.7, (3, 1, 1)) + 0.15 * fields[0] + 0.05 * fields[1:]
    rows, columns = np.mgrid[0:height, 0:width]
    for _ in range(3):
        row, column, radius = rng.random() * height, rng.random() * width, rng.uniform(0.05, 0.25) * min(height, width)
        inside = 1 / (1 + np.exp((np.hypot(rows - row, columns - column) - radius) / 1.5))
        picture += inside * (rng.random((3, 1, 1)) - picture)
    return np.asarray(np.clip(picture, 0, 1))


def _normalised(pictures: Sequence[NDArray[np.float64]]) -> Frames:
    mean, std = (np.reshape(values, (3, 1, 1)) for values in (IMAGENET_MEAN, IMAGENET_STD))
    return np.asarray((np.stack(pictures) - mean) / std, np.float32)
