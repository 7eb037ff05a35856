"""Clips to measure with: the user's, or a few made on the spot."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

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
_MADE, _SIZE, _FRAMES, _RATE = 6, (960, 540), 12, 25


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


def make(folder: Path) -> list[ClipReference]:
    """Six H.264 clips of 12 frames, 960×540, the same every time.

    Raises ``InputError`` where FFmpeg comes without that encoder.
    """
    paths = [folder / f"made-{number}.mp4" for number in range(_MADE)]
    for number, path in enumerate(paths):
        try:
            _encode(path, _pictures(number))
        except (av.FFmpegError, ValueError) as error:
            raise InputError(f"cannot make clips to measure with ({error}): name some of your own") from error
    return [ClipReference(str(path)) for path in paths]


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


def _pictures(seed: int) -> Iterator[NDArray[np.uint8]]:
    """R'G'B' ``[H, W, 3]``: a background that moves, with the 1/f spectrum of photographs, and a disc before it.

    Source of the spectrum: D. J. Field, "Relations between the statistics of natural images and the response
    properties of cortical cells", JOSA A 4 (1987).
    """
    rng, (width, height) = np.random.default_rng(seed), _SIZE
    distance = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :])
    distance[0, 0] = np.inf
    fields = np.fft.irfft2(np.fft.rfft2(rng.standard_normal((4, height, width))) / distance, s=(height, width))
    fields /= fields.std(axis=(1, 2), keepdims=True)
    background = np.clip(128 + 40 * fields[0] + 13 * fields[1:], 0, 255).astype(np.uint8).transpose(1, 2, 0)
    rows, columns = np.mgrid[:height, :width]
    speed, colour = rng.integers(3, 10, 2), rng.integers(0, 256, 3)
    for time in range(_FRAMES):
        picture = np.roll(background, time * speed, (0, 1))  # the field repeats itself, so this leaves no seam
        middle = (0.3 + 0.02 * time) * width, (0.5 + 0.2 * np.sin(time / 5 + seed)) * height
        picture[np.hypot(columns - middle[0], rows - middle[1]) < height / 7] = colour
        yield picture


def _encode(path: Path, pictures: Iterator[NDArray[np.uint8]]) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=_RATE, options={"crf": "26", "preset": "veryfast"})
        stream.width, stream.height = _SIZE
        stream.pix_fmt = "yuv420p"
        for index, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, "rgb24").reformat(format="yuv420p", threads=1)
            frame.pts, frame.time_base = index, Fraction(1, _RATE)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
