"""Clips and pictures made by formula, the same every time: to measure and to try with where there are no others."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Literal

import av
import numpy as np
from numpy.typing import NDArray

from saliency_engine.errors import InputError
from saliency_engine.types import ClipReference

_Codec = Literal["libx264", "mpeg4"]
_CLIPS, _SIZE, _FRAMES, _RATE = 6, (960, 540), 12, 25


def make_clips(folder: Path) -> list[ClipReference]:
    """Write six H.264 clips of 12 frames, 960×540, into ``folder``: a disc moves before a moving background.

    Raises ``InputError`` where FFmpeg comes without that encoder.
    """
    paths = [folder / f"made-{number}.mp4" for number in range(_CLIPS)]
    for number, path in enumerate(paths):
        try:
            _write_clip(path, _disc_before_noise(number), "libx264", {"crf": "26", "preset": "veryfast"})
        except (av.FFmpegError, ValueError) as error:
            raise InputError(f"cannot make clips to measure with ({error}): name some of your own") from error
    return [ClipReference(str(path)) for path in paths]


def make_small_clip(path: Path) -> None:
    """Write a clip of 8 frames, 64×64, that every FFmpeg can encode (MPEG-4 part 2): a moving gradient."""
    gradient = np.tile(np.arange(64, dtype=np.uint8)[:, None, None] * 4, (1, 64, 3))
    _write_clip(path, (np.roll(gradient, shift, 1) for shift in range(0, 64, 8)), "mpeg4", {})


def natural_fields(rng: np.random.Generator, height: int, width: int) -> NDArray[np.float64]:
    """Four random fields ``[4, height, width]`` with the 1/f spectrum of photographs, each of standard deviation 1.

    They repeat themselves, so that ``np.roll`` leaves no seam. Source of the spectrum: D. J. Field, "Relations between
    the statistics of natural images and the response properties of cortical cells", JOSA A 4 (1987).
    """
    distance = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :])
    distance[0, 0] = np.inf
    fields = np.fft.irfft2(np.fft.rfft2(rng.standard_normal((4, height, width))) / distance, s=(height, width))
    return np.asarray(fields / fields.std(axis=(1, 2), keepdims=True))


def _disc_before_noise(seed: int) -> Iterator[NDArray[np.uint8]]:
    """R'G'B' ``[H, W, 3]``: a background that moves, with the 1/f spectrum of photographs, and a disc before it."""
    rng, (width, height) = np.random.default_rng(seed), _SIZE
    fields = natural_fields(rng, height, width)
    background = np.clip(128 + 40 * fields[0] + 13 * fields[1:], 0, 255).astype(np.uint8).transpose(1, 2, 0)
    rows, columns = np.mgrid[:height, :width]
    speed, colour = rng.integers(3, 10, 2), rng.integers(0, 256, 3)
    for time in range(_FRAMES):
        picture = np.roll(background, time * speed, (0, 1))
        middle = (0.3 + 0.02 * time) * width, (0.5 + 0.2 * np.sin(time / 5 + seed)) * height
        picture[np.hypot(columns - middle[0], rows - middle[1]) < height / 7] = colour
        yield picture


def _write_clip(path: Path, pictures: Iterable[NDArray[np.uint8]], codec: _Codec, options: Mapping[str, str]) -> None:
    """Encode R'G'B' ``pictures`` ``[H, W, 3]``, all of one size, as 4:2:0; the path's suffix names the container."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=_RATE, options=dict(options))
        for index, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, "rgb24").reformat(format="yuv420p", threads=1)
            if index == 0:
                stream.width, stream.height, stream.pix_fmt = frame.width, frame.height, "yuv420p"
            frame.pts, frame.time_base = index, Fraction(1, _RATE)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
