"""A frame of a clip to look at, in the proportions in which it is shown."""

from __future__ import annotations

import dataclasses

import av
import numpy as np
from numpy.typing import NDArray

from saliency_engine.errors import DecodeError
from saliency_engine.types import ClipRequest, DecodeSpec
from saliency_engine.video.container import opened
from saliency_engine.video.decode import decode_frames
from saliency_engine.video.demuxer import explain
from saliency_engine.video.frames import read_frames
from saliency_engine.video.picture import orientation_of


def decode_poster(request: ClipRequest, spec: DecodeSpec, most: tuple[int, int]) -> NDArray[np.uint8]:
    """The middle one of the sampled frames, 8-bit R'G'B' ``[height, width, 3]``, upright and in square pixels.

    It is as large as fits into ``most``, width and height. Raises ``DecodeError``.
    """
    width, height = _shown_size(request, spec)
    scale = min(most[0] / width, most[1] / height)
    width, height = max(1, round(width * scale)), max(1, round(height * scale))
    frames, _ = decode_frames(request, dataclasses.replace(spec, width=width, height=height))
    return np.ascontiguousarray(frames[len(frames) // 2].transpose(1, 2, 0) >> 8, np.uint8)


def _shown_size(request: ClipRequest, spec: DecodeSpec) -> tuple[float, float]:
    """Width and height of the clip's first frame as a player shows it."""
    try:
        with opened(request, spec) as clip:
            shown = next(read_frames(clip), None)
            if shown is None:
                raise DecodeError("the file holds no frame that can be decoded")
            width, height = shown.crop.leaves(shown.frame.width, shown.frame.height)
            aspect = float(clip.stream.sample_aspect_ratio or 1)
            swapped, _, _ = orientation_of(shown.frame)
    except (av.FFmpegError, ValueError, OSError, MemoryError, OverflowError) as error:
        raise DecodeError(f"the clip cannot be decoded: {explain(error)}") from error
    return (height, width * aspect) if swapped else (width * aspect, height)
