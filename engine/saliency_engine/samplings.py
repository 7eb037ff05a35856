"""Which of a clip's frames are given to the model."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from saliency_engine.config import RunConfig


@dataclass(frozen=True, slots=True)
class Head:
    """Sampling from a clip's first ``max_frames`` decoded frames: ``frame_samples`` of them, in even steps."""

    max_frames: int
    frame_samples: int

    @property
    def frames_per_clip(self) -> int:
        """The most frames that a clip can yield (K)."""
        return min(self.frame_samples, self.max_frames)

    @property
    def identity(self) -> dict[str, Any]:
        """This sampling's part of the memo's key; JSON values."""
        return {"sampling": "head", **asdict(self)}


@dataclass(frozen=True, slots=True)
class _WholeClip:
    """Sampling over the whole clip."""

    frame_samples: int

    @property
    def frames_per_clip(self) -> int:
        """The most frames that a clip can yield (K)."""
        return self.frame_samples


@dataclass(frozen=True, slots=True)
class Uniform(_WholeClip):
    """Sampling over the whole clip: the frames shown in the middle of ``frame_samples`` equal stretches of time."""

    @property
    def identity(self) -> dict[str, Any]:
        """This sampling's part of the memo's key; JSON values."""
        return {"sampling": "uniform", **asdict(self)}


@dataclass(frozen=True, slots=True)
class Keyframes(_WholeClip):
    """Sampling of ``frame_samples`` of the clip's keyframes, spread by time; of all of them where it has fewer."""

    @property
    def identity(self) -> dict[str, Any]:
        """This sampling's part of the memo's key; JSON values."""
        return {"sampling": "keyframes", **asdict(self)}


Sampling = Head | Uniform | Keyframes


def sampling_of(config: RunConfig) -> Sampling:
    """The sampling that the options of ``config`` name."""
    samplings: dict[str, Sampling] = {
        "head": Head(config.max_frames, config.frame_samples),
        "uniform": Uniform(config.frame_samples),
        "keyframes": Keyframes(config.frame_samples),
    }
    return samplings[config.sampling]
