"""``--extra shots``: the shots of a whole clip, by PySceneDetect's detector, on frames that were decoded here."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from saliency_engine.errors import DecodeError
from saliency_engine.types import DecodeSpec
from saliency_engine.video.container import OpenClip
from saliency_engine.video.frames import Shown, read_frames
from saliency_engine.video.picture import Picture, Scaler

if TYPE_CHECKING:
    from numpy.typing import NDArray

LONGER_SIDE = 256  # pixels: the width to which PySceneDetect itself reduces frames
SHORTEST_SHOT = 0.6  # seconds: as PySceneDetect's own command has it
_USUAL_RATE = Fraction(25)


def measure_shots(open_clip: Callable[[], AbstractContextManager[OpenClip]], spec: DecodeSpec) -> dict[str, float]:
    """Decode the whole clip and give its numbers by the roles of ``extras.EXTRAS["shots"]``.

    Of N shots: log10(1 + N) / 3, their mean length in seconds / 30, and cuts / frames. The length is missing where
    nothing tells the frames' rate, as in raw video. Raises ``DecodeError`` where the clip cannot be decoded to its end,
    or some of its frames are damaged.
    """
    with open_clip() as clip:
        detector, clock = _Detector(spec, clip), _Clock()
        frames = cuts = damaged = 0
        for shown in read_frames(clip):
            cuts += detector.cuts_at(shown, frames)
            clock.add(shown)
            damaged += shown.damaged
            frames += 1
        rate = clip.stream.average_rate or clip.stream.guessed_rate
        seconds = None if clip.container.format.name == "rawvideo" else clock.seconds(clip, rate)
    if damaged:
        raise DecodeError(f"{damaged} of the clip's {frames} frames are damaged")
    values = {"shot_count_norm": math.log10(2 + cuts) / 3, "shot_cut_density": cuts / frames}
    return values if seconds is None else values | {"shot_mean_len_norm": seconds / (1 + cuts) / 30}


@dataclass
class _Clock:
    """When the frames so far are shown."""

    frames: int = 0
    first: int | None = None
    last: int | None = None
    duration: int = 0
    """How long the last one is shown, where that is stated."""
    runs_on: bool = True
    """Every frame has a time, and a later one than the frame before it."""

    def add(self, shown: Shown) -> None:
        pts = shown.pts
        self.runs_on &= pts is not None and (self.last is None or pts > self.last)
        self.first = pts if self.first is None else self.first
        self.last, self.duration = pts, shown.frame.duration or 0
        self.frames += 1

    def seconds(self, clip: OpenClip, rate: Fraction | None) -> float | None:
        """From the first frame to the end of the last."""
        if self.runs_on and self.first is not None and self.last is not None and clip.stream.time_base:
            shown = self.last - self.first
            usual = self.duration or (shown / (self.frames - 1) if self.frames > 1 else 0)
            if shown + usual > 0:
                return float((shown + usual) * clip.stream.time_base)
        return float(self.frames / rate) if rate else None


class _Detector:
    """PySceneDetect's ``AdaptiveDetector``, with its own thresholds."""

    def __init__(self, spec: DecodeSpec, clip: OpenClip) -> None:
        import cv2  # noqa: PLC0415  only clips whose shots are wanted need it
        from scenedetect import AdaptiveDetector  # noqa: PLC0415

        cv2.setNumThreads(1)  # clips run in parallel
        self._spec, self._scaler = spec, Scaler()
        self._rate = clip.stream.average_rate or clip.stream.guessed_rate or _USUAL_RATE
        self._detector = AdaptiveDetector(min_scene_len=SHORTEST_SHOT)
        self._small: NDArray[np.uint16] | None = None

    def cuts_at(self, shown: Shown, number: int) -> int:
        """How many more cuts are known with this frame."""
        from scenedetect import FrameTimecode  # noqa: PLC0415

        picture = Picture.of(shown.frame, self._spec.color, shown.crop, self._spec.hdr)
        picture = replace(picture, orientation=(False, False, False))  # a cut is one either way up
        if self._small is None:
            width, height = picture.frame.width, picture.frame.height
            share = min(1.0, LONGER_SIDE / max(width, height))
            self._small = np.empty((3, max(1, round(height * share)), max(1, round(width * share))), np.uint16)
        picture.paint(self._scaler, self._small)
        image = np.ascontiguousarray((self._small[::-1] >> 8).astype(np.uint8).transpose(1, 2, 0))
        return len(self._detector.process_frame(FrameTimecode(number, self._rate), image))
