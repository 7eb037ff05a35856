"""Frames to calibrate and measure models on: decoded from the user's clips, and drawn by formula.

Every function gives float32 ``[n, 3, height, width]``, ImageNet-normalised: what the engine feeds a model.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from saliency_engine.config import BUILT_IN_MODEL, RunConfig
from saliency_engine.errors import ClipError, InputError
from saliency_engine.numerics.normalize import IMAGENET_MEAN, IMAGENET_STD, normalize
from saliency_engine.samplings import Uniform
from saliency_engine.storage.locate import Locator
from saliency_engine.storage.overwrite import Files
from saliency_engine.tables.columns import Columns
from saliency_engine.tables.input import open_table
from saliency_engine.types import ClipReference, DecodeSpec
from saliency_engine.video.decode import decode_frames
from saliency_engine.video.synthetic import natural_fields

Frames = NDArray[np.float32]

FROM_CLIPS = 128
"""Frames taken in all, shared evenly among the clips: 157 MB at 320×320."""
MOST_CLIPS = 64


def decode_clips(
    paths: Sequence[str], height: int, width: int, files: Files | None = None, *, most: int = FROM_CLIPS
) -> Frames:
    """Frames of the clips that ``paths`` name: tables, and clips as `saliency-batch run` takes them.

    They come clip after clip, each clip's in order of time and spread evenly over it. Every clip gives the same
    number, at least 2, unless it is shorter; of more than ``MOST_CLIPS`` clips as many are taken, evenly over the
    list. A table's columns are ``src``, ``width`` and ``height``, and its relative paths start from the current
    folder. A clip that cannot be decoded is left out, unless ``paths`` name it itself.

    ``files`` are the other files of the command. Raises ``InputError`` when a clip that ``paths`` names itself cannot
    be decoded, and when no clip is left; ``ConfigError`` when the command is going to write one of them.
    """
    clips, from_tables = list_clips(paths)
    if len(clips) > MOST_CLIPS:
        clips = [clips[i * len(clips) // MOST_CLIPS] for i in range(MOST_CLIPS)]
    per_clip = max(2, most // max(len(clips), 1))
    spec = DecodeSpec(width, height, Uniform(per_clip), color="auto", accept_short=True)
    locator = Locator(RunConfig(model=BUILT_IN_MODEL), files)
    parts: list[Frames] = []
    for clip in clips:
        try:
            parts.append(_decode_clip(locator, clip, spec))
        except ClipError as error:
            if clip not in from_tables:
                raise InputError(f"{clip.path}: {error}") from error
    if not parts:
        raise InputError(f"none of the clips in {', '.join(paths)} can be decoded")
    return np.concatenate(parts)


def collect_frames(paths: Sequence[str], height: int, width: int, files: Files | None = None) -> Frames:
    """The frames a variant is measured on: 16 natural and 8 extreme ones, and 32 of the clips in ``paths``, if any."""
    parts = [draw_natural(16, height, width), draw_extreme(height, width)]
    return np.concatenate(parts + ([decode_clips(paths, height, width, files, most=32)] if paths else []))


def draw_natural(count: int, height: int, width: int) -> Frames:
    """Pictures with the 1/f spectrum of photographs and soft shapes in front; the same every time."""
    return _normalise([_draw_scene(np.random.default_rng(seed), height, width) for seed in range(count)])


def draw_extreme(height: int, width: int) -> Frames:
    """Eight frames at the limits of what a decoder can give: flat ones, noise, edges as fine as the pixels."""
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
    return _normalise([np.broadcast_to(pattern(), (3, height, width)) for pattern in patterns])


def list_clips(paths: Sequence[str]) -> tuple[list[ClipReference], set[ClipReference]]:
    """Distinct clips in order, and those of them that only a table, a folder, a pattern or a list names."""
    indirect: dict[ClipReference, bool] = {}
    for path in paths:
        with open_table(path, Columns()) as table:
            for row_batch in table:
                for clip in row_batch.clips:
                    indirect[clip] = clip.path != path and indirect.get(clip, True)
    return list(indirect), {clip for clip, is_indirect in indirect.items() if is_indirect}


def _decode_clip(locator: Locator, clip: ClipReference, spec: DecodeSpec) -> Frames:
    pictures, _ = decode_frames(locator.locate(clip), spec)
    frames = np.empty(pictures.shape, np.float32)
    normalize(pictures, frames)
    return frames


def _draw_scene(rng: np.random.Generator, height: int, width: int) -> NDArray[np.float64]:
    """R'G'B' in [0, 1] ``[3, height, width]``: a 1/f background that the channels mostly share, and three blobs."""
    fields = natural_fields(rng, height, width)
    picture = rng.uniform(0.3, 0.7, (3, 1, 1)) + 0.15 * fields[0] + 0.05 * fields[1:]
    rows, columns = np.mgrid[0:height, 0:width]
    for _ in range(3):
        row, column, radius = rng.random() * height, rng.random() * width, rng.uniform(0.05, 0.25) * min(height, width)
        inside = 1 / (1 + np.exp((np.hypot(rows - row, columns - column) - radius) / 1.5))
        picture += inside * (rng.random((3, 1, 1)) - picture)
    return np.asarray(np.clip(picture, 0, 1))


def _normalise(pictures: Sequence[NDArray[np.float64]]) -> Frames:
    mean, std = (np.reshape(values, (3, 1, 1)) for values in (IMAGENET_MEAN, IMAGENET_STD))
    return np.asarray((np.stack(pictures) - mean) / std, np.float32)
