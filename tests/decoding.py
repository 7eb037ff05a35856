"""Decode one clip as a run does, for tests of its frames."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from saliency_engine.config import RunConfig
from saliency_engine.types import ClipRequest, DecodedClip, RawFormat, decode_spec
from saliency_engine.video.decode import decode_clip

Frames = NDArray[np.float64]


def decode(
    path: Path | str, raw: RawFormat | None = None, *, width: int = 320, height: int = 320, **settings: Any
) -> tuple[DecodedClip, Frames]:
    spec = decode_spec(RunConfig(model="frequency_tuned_v1", **settings), width, height)
    out = np.zeros((spec.frames_per_clip, 3, spec.height, spec.width), np.uint16)
    clip = decode_clip(ClipRequest(str(path), 0, 0, raw), spec, out)
    return clip, out[: clip.frames].transpose(0, 2, 3, 1) / 257.0


def assert_same_frames(path: Path, reference: Path, frames: int = 12) -> None:
    """Both samplings give the same of ``path`` as of ``reference``."""
    for settings in ({"max_frames": frames, "frame_samples": frames}, {"sampling": "uniform", "frame_samples": frames}):
        clip, pixels = decode(path, width=64, height=48, accept_short=True, **settings)
        other, expected = decode(reference, width=64, height=48, accept_short=True, **settings)
        assert clip.frames == other.frames == frames
        np.testing.assert_array_equal(pixels, expected)
