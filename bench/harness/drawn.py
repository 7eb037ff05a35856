"""A corpus of drawn clips: one or two shaded things that move before a background of coloured noise.

It stands for a corpus of one kind, as one camera or one game gives. No two clips share a thing or a background.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

_WIDTH, _HEIGHT, _FRAMES = 640, 360, 25


class _Thing(NamedTuple):
    """A blob: its outline is a circle with waves, its skin coloured noise, lit from above."""

    radius: float
    """All lengths are in pixels."""
    waves: NDArray[np.float64]
    """``[2, 4]``: the height, as a share of the radius, and the phase of the outline's first waves."""
    skin: NDArray[np.float64]
    """``[H, W, 3]``, R'G'B' in [0, 1]."""
    start: NDArray[np.float64]
    """Row and column of the middle in the first frame."""
    speed: NDArray[np.float64]
    """Rows and columns a frame."""


def draw_clips(folder: Path, count: int) -> list[Path]:
    """Write ``count`` H.264 clips of a second, 640×360, into ``folder``, which is made; the same ones every time."""
    folder.mkdir(parents=True, exist_ok=True)
    clips = [folder / f"{number:03}.mp4" for number in range(count)]
    for seed, path in enumerate(clips):
        with av.open(str(path), "w") as writer:
            stream = writer.add_stream("libx264", rate=_FRAMES, options={"crf": "20", "preset": "veryfast"})
            stream.width, stream.height, stream.pix_fmt = _WIDTH, _HEIGHT, "yuv420p"
            for picture in _draw(np.random.default_rng(seed)):
                writer.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
            writer.mux(stream.encode(None))
    return clips


def _draw(rng: np.random.Generator) -> Iterator[NDArray[np.uint8]]:
    """The frames of a clip, uint8 ``[H, W, 3]``."""
    background = _draw_noise(rng, rng.uniform(4, 40))
    pan = rng.uniform(-2, 2, 2)
    things = [_invent(rng) for _ in range(rng.integers(1, 3))]
    for index in range(_FRAMES):
        picture = np.roll(background, np.round(pan * index).astype(int), axis=(0, 1))
        for thing in things:
            picture = _put(picture, thing, index)
        yield (picture * 255).round().astype(np.uint8)


def _invent(rng: np.random.Generator) -> _Thing:
    heights = rng.uniform(0, 1, 4) * 0.25 / np.arange(1, 5)
    return _Thing(
        radius=rng.uniform(35, 100),
        waves=np.stack([heights, rng.uniform(0, 2 * np.pi, 4)]),
        skin=_draw_noise(rng, rng.uniform(2, 30)),
        start=rng.uniform((0.25 * _HEIGHT, 0.2 * _WIDTH), (0.75 * _HEIGHT, 0.8 * _WIDTH)),
        speed=rng.uniform(-2.5, 2.5, 2),
    )


def _draw_noise(rng: np.random.Generator, blur: float) -> NDArray[np.float64]:
    """A smooth field of two colours with some grain, R'G'B' in [0, 1], ``[H, W, 3]``."""
    field = ndimage.gaussian_filter(rng.normal(size=(_HEIGHT, _WIDTH)), blur, mode="wrap")
    share = np.clip(0.5 + field / (4 * field.std()), 0, 1)[..., np.newaxis]
    first, second = rng.uniform(0.05, 0.95, (2, 3))
    colours = share * first + (1 - share) * second
    return np.asarray(np.clip(colours + rng.normal(0, 0.02, (_HEIGHT, _WIDTH, 1)), 0, 1))


def _put(picture: NDArray[np.float64], thing: _Thing, index: int) -> NDArray[np.float64]:
    """The picture with the thing in front, as it is in frame ``index``."""
    middle = thing.start + thing.speed * index
    rows, columns = np.mgrid[:_HEIGHT, :_WIDTH] - middle[:, np.newaxis, np.newaxis]
    angle, (heights, phases) = np.arctan2(rows, columns), thing.waves
    orders = np.arange(1, 5).reshape(4, 1, 1)
    outline = 1 + (heights.reshape(4, 1, 1) * np.cos(orders * angle + phases.reshape(4, 1, 1))).sum(0)
    distance = np.hypot(rows, columns) / (thing.radius * outline)
    inside = np.clip((1 - distance) * thing.radius / 2, 0, 1)[..., np.newaxis]
    light = np.clip(1.15 - 0.5 * distance**2 - 0.3 * rows / thing.radius, 0.3, 1.4)[..., np.newaxis]
    return np.asarray((1 - inside) * picture + inside * np.clip(thing.skin * light, 0, 1))
