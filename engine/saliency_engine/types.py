"""What crosses the borders between stages. All frozen; none knows any stage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from saliency_engine.config import MAX_PIXELS, RunConfig

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
    """What a row says about its clip, as written there; equal references share one computation.

    ``path`` is empty where the row has none. ``width`` and ``height`` are pixels, ``None`` where the row has
    none or has no positive whole number; ``pixel_format`` is an FFmpeg name or ``None``.
    """

    path: str
    width: int | None = None
    height: int | None = None
    pixel_format: str | None = None


@dataclass(frozen=True)
class RowBatch(Generic[PayloadT]):
    """Consecutive rows of the table.

    ``codes``, int32 ``[rows]``, gives each row's index into ``clips`` (the distinct clips among the rows that must be
    computed), or ``SKIPPED`` for a row that already has a finite mean and variance (``skipped-existing``).
    ``payload`` is the rows themselves: a ``pyarrow.RecordBatch`` or ``jsonl.Lines``.
    """

    first_row: int
    codes: NDArray[np.int32]
    clips: tuple[ClipReference, ...]
    payload: PayloadT

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
    """One clip to compute: a regular file, as it was when it was located.

    ``path`` is absolute with links resolved; ``size`` is in bytes; ``raw`` is set for headerless video only;
    ``content`` is the hex sha256 of its bytes where the run looks at them, else empty.
    """

    path: str
    size: int
    mtime_ns: int
    raw: RawFormat | None = None
    content: str = ""


@dataclass(frozen=True, slots=True)
class Head:
    """Sampling from a clip's first ``max_frames`` decoded frames: ``frame_samples`` of them, evenly stepped."""

    max_frames: int
    frame_samples: int

    @property
    def frames_per_clip(self) -> int:
        """The most frames that a clip can yield (K)."""
        return min(self.frame_samples, self.max_frames)

    @property
    def tag(self) -> str:
        """The value of the rows' sampling column."""
        return f"head max_frames={self.max_frames} frame_samples={self.frame_samples}"

    @property
    def identity(self) -> dict[str, Any]:
        """What the memo's key says of this sampling; JSON values."""
        return {"sampling": "head", **asdict(self)}


@dataclass(frozen=True, slots=True)
class Uniform:
    """Sampling over the whole clip: the frames shown in the middle of ``frame_samples`` equal stretches of time."""

    frame_samples: int

    @property
    def frames_per_clip(self) -> int:
        """The most frames that a clip can yield (K)."""
        return self.frame_samples

    @property
    def tag(self) -> str:
        """The value of the rows' sampling column."""
        return f"uniform frame_samples={self.frame_samples}"

    @property
    def identity(self) -> dict[str, Any]:
        """What the memo's key says of this sampling; JSON values."""
        return {"sampling": "uniform", **asdict(self)}


Sampling = Head | Uniform


def sampling_of(config: RunConfig) -> Sampling:
    """The sampling that the options of ``config`` name."""
    samplings: dict[str, Sampling] = {
        "head": Head(config.max_frames, config.frame_samples),
        "uniform": Uniform(config.frame_samples),
    }
    return samplings[config.sampling]


@dataclass(frozen=True, slots=True)
class DecodeSpec:
    """How every clip of a run is sampled and turned into frames of ``height`` × ``width`` pixels.

    ``color`` is ``auto`` or ``bt709``. Larger frames than ``max_pixels`` are refused, as is a clip that is cut off or
    has too few frames, unless ``accept_short``. ``confine``, where not empty, is the folder (absolute, links resolved)
    that no file may be opened outside of.
    """

    width: int
    height: int
    sampling: Sampling
    color: str
    max_pixels: int = MAX_PIXELS
    accept_short: bool = False
    confine: str = ""

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
        width=width,
        height=height,
        sampling=sampling_of(config),
        color=config.color,
        max_pixels=config.max_pixels,
        accept_short=config.accept_short,
        confine=config.confined_to,
    )


@dataclass(frozen=True, slots=True)
class DecodedClip:
    """What a decode worker reports; the frames themselves lie in shared memory.

    ``motion[t]`` is mean|Y_t − Y_(t−1)| / 255 between consecutive sampled frames (Y: 8-bit luma at the clip's
    own size), in [0, 1]; ``motion[0]`` is 0. ``len(motion)`` is the number of frames. ``seconds`` is the
    worker's time on this clip.
    """

    motion: tuple[float, ...]
    seconds: float

    @property
    def frames(self) -> int:
        """Number of frames written, at least 1."""
        return len(self.motion)


@dataclass(frozen=True)
class ClipStatistics:
    """All that any aggregator's mean and variance follow from, for one clip of K frames.

    float64 throughout: ``means`` ``[K]`` are the maps' means; ``motion`` ``[K]`` as in ``DecodedClip``; ``gram``
    ``[K, K]`` is mean(s_i · s_j) over the pixels; ``maximum`` is (mean, variance) of the pixelwise maximum.
    """

    means: NDArray[np.float64]
    motion: NDArray[np.float64]
    gram: NDArray[np.float64]
    maximum: tuple[float, float]


@dataclass(frozen=True, slots=True)
class ClipResult:
    """A clip's outcome: ``mean`` and ``var`` when ``status`` is ``ok``, a ``reason`` when it is a failure.

    An ``ok`` clip that was short of frames, and taken all the same, has both.
    """

    status: Status
    mean: float | None = None
    var: float | None = None
    reason: str | None = None
