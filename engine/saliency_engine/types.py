"""What the stages of a run hand to each other. All of it is frozen, and none of it knows a stage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from saliency_engine.config import MAX_PIXELS, RunConfig
from saliency_engine.extras import NOTHING_MEASURED, Measured
from saliency_engine.facts import RemoteFile, Signal
from saliency_engine.samplings import Sampling, sampling_of
from saliency_engine.tags import Tags

PayloadT = TypeVar("PayloadT")
SKIPPED = -1
"""The code, in ``RowBatch.codes``, of a row that keeps the numbers it has."""


class Status(StrEnum):
    """What became of a row (the value of its status column)."""

    OK = "ok"
    SKIPPED_EXISTING = "skipped-existing"
    MISSING_SOURCE = "missing-source"
    MISSING_GEOMETRY = "missing-geometry"
    DECODE_FAILED = "decode-failed"
    MODEL_FAILED = "model-failed"


@dataclass(frozen=True, slots=True)
class ClipReference:
    """What a row says about its clip, as written there. Equal references share one computation."""

    path: str
    """Empty where the row has none. With a template it is what the template makes of the row."""
    width: int | None = None
    """In pixels; ``None`` where the row has no positive whole number. So is ``height``."""
    height: int | None = None
    pixel_format: str | None = None
    """FFmpeg's name of it."""
    problem: str = ""
    """Why no path could be made from the row."""
    whole: bool = field(default=False, compare=False)
    """``path`` is that of a file as it is: ``--path-suffix`` is not appended."""


@dataclass(frozen=True)
class RowBatch(Generic[PayloadT]):
    """Consecutive rows of the table."""

    first_row: int
    """The number of the first of these rows, counted from 0 over the whole table."""
    codes: NDArray[np.int32]
    """``[rows]``: each row's index into ``clips``, or ``SKIPPED`` for a row that has its mean and variance already."""
    clips: tuple[ClipReference, ...]
    """The distinct clips of the rows that must be computed."""
    payload: PayloadT
    """The rows themselves, as their table's format has them."""
    kept: Mapping[Tags, int] = field(default_factory=dict)
    """How many rows keep their numbers, by their tags; empty where nobody asks."""
    completed: Mapping[Tags, int] = field(default_factory=dict)
    """The same for the rows that are computed again because they lack columns of ``--extra`` alone."""

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(self.codes)


def row_batch_of(clips: Sequence[ClipReference]) -> RowBatch[None]:
    """A row for each of ``clips``, with nothing in it but its clip."""
    return RowBatch(0, np.arange(len(clips), dtype=np.int32), tuple(clips), None)


@dataclass(frozen=True, slots=True)
class RawFormat:
    """Layout of a headerless ``.yuv`` file: coded size in pixels and FFmpeg pixel format name."""

    width: int
    height: int
    pixel_format: str


@dataclass(frozen=True, slots=True)
class ClipRequest:
    """One clip to compute: a regular file, as it was when it was located."""

    path: str
    """Absolute, with links resolved; of a remote file its URL, without secrets."""
    size: int
    """In bytes."""
    mtime_ns: int
    """The file's time of change, in nanoseconds since 1970."""
    raw: RawFormat | None = None
    """For headerless video only."""
    content: str = ""
    """The hex sha256 of the file's bytes with ``--verify-clips``, else empty."""
    extra: tuple[str, ...] = ()
    """The groups of ``extras.MEASURED`` to measure while the clip is decoded."""
    remote: RemoteFile | None = None
    """What is fetched before it is decoded."""


@dataclass(frozen=True, slots=True)
class DecodeSpec:
    """How every clip of a run is sampled and turned into frames of the model's size."""

    width: int
    """In pixels, as ``height``."""
    height: int
    sampling: Sampling
    color: str
    """``auto``: honour the stream's tags; ``bt709``: ignore them."""
    hdr: str = "plain"
    """``plain``: take PQ and HLG as they are; ``tonemap``: map them to SDR."""
    max_pixels: int = MAX_PIXELS
    """Larger frames are refused."""
    accept_short: bool = False
    """Take a clip that is cut off or has too few frames as far as it goes; else it is refused."""
    confine: str = ""
    """The folder (absolute, links resolved) that no file may be opened outside of; empty: none."""
    reuse: float = 0.0
    """The last map stands for a frame as long as the motion since that map's frame is less, in [0, 1); 0: never."""

    @property
    def frames_per_clip(self) -> int:
        """The most frames that a clip can yield (K)."""
        return self.sampling.frames_per_clip

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """The shape of a clip's frames: (K, 3, height, width)."""
        return self.frames_per_clip, 3, self.height, self.width


def decode_spec(config: RunConfig, width: int, height: int) -> DecodeSpec:
    """How clips are sampled and sized under ``config`` for a model whose input is ``width`` × ``height`` pixels."""
    return DecodeSpec(
        width,
        height,
        sampling_of(config),
        config.color,
        config.hdr,
        config.max_pixels,
        config.accept_short,
        config.confined_to,
        float(config.reuse),  # numpy's would have another memo key
    )


@dataclass(frozen=True, slots=True)
class DecodedClip:
    """What is known of a clip's sampled frames. Those that the model gets lie elsewhere, one after another."""

    motion: tuple[float, ...]
    """``motion[t]`` is mean|Y_t − Y_(t−1)| / 255 between consecutive sampled frames (Y: 8-bit luma at the clip's own
    size), in [0, 1]; ``motion[0]`` is 0. There is one entry for each frame."""
    times: tuple[float, ...]
    """When each frame is shown, in seconds of the stream's clock; NaN where the stream does not say."""
    map_of: tuple[int, ...]
    """For each frame, which of the frames that the model gets has the map that stands for it: 0, 1, 2 … without
    ``DecodeSpec.reuse``."""
    seconds: float
    """How long decoding took."""
    signal: Signal
    extras: Measured = NOTHING_MEASURED
    """What ``ClipRequest.extra`` asked for."""

    @property
    def frames(self) -> int:
        """Number of sampled frames, at least 1."""
        return len(self.motion)

    @property
    def inferred(self) -> int:
        """How many of them the model gets, at least 1."""
        return self.map_of[-1] + 1


@dataclass(frozen=True)
class ClipStatistics:
    """All that any aggregator's mean and variance follow from, for one clip with K saliency maps s."""

    means: NDArray[np.float64]
    """``[K]``: mean(s_i) over the pixels."""
    motion: NDArray[np.float64]
    """``[K]``: as in ``DecodedClip``."""
    gram: NDArray[np.float64]
    """``[K, K]``: mean(s_i · s_j) over the pixels."""
    maximum: tuple[float, float]
    """Mean and variance of the pixelwise maximum."""
    signal: Signal | None = None
    """``None`` where nothing is known of it, as in entries of older memos. No number follows from it."""
    times: NDArray[np.float64] | None = None
    """``[K]``: as in ``DecodedClip``; ``None`` as for ``signal``."""
    extras: Measured = NOTHING_MEASURED
    """What somebody has asked for so far."""

    @property
    def model_runs(self) -> int:
        """How many of the frames have a map of their own: those whose map is not, to the last bit, the one before."""
        return 1 + int((self.gram[1:] != self.gram[:-1]).any(axis=1).sum())


@dataclass(frozen=True, slots=True)
class ClipResult:
    """What became of a clip."""

    status: Status
    mean: float | None = None
    """In [0, 1]; ``None`` where the clip failed. So is ``var``."""
    var: float | None = None
    reason: str | None = None
    """Why the clip failed; for an ``ok`` clip, that it had fewer frames than were asked for."""
    path: str = ""
    """The failed clip's file, where it was found."""
    frames: int = 0
    """How many frames the numbers of an ``ok`` clip are made of."""
    statistics: ClipStatistics | None = field(default=None, compare=False)
    """What the numbers of an ``ok`` clip follow from."""
    extras: tuple[tuple[str, float], ...] = ()
    """The numbers of ``--extra`` by role; one that is unknown is not there."""
