"""How much a clip's luma moves from one sampled frame to another, and which of the frames the model gets for that."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from saliency_engine.video import color
from saliency_engine.video.picture import Picture, Scaler


class SampledFrames:
    """A clip's sampled frames, taken one after another. Those that the model gets are painted into ``out``.

    ``out`` is uint16 ``[K, 3, height, width]``. The model gets the first frame, each whose motion since the last one
    that it got is not below ``reuse``, and each of another size or format than the frame before.
    """

    def __init__(self, out: NDArray[np.uint16], reuse: float) -> None:
        self._out, self._reuse, self._scaler = out, reuse, Scaler()
        self.restart()

    def restart(self) -> None:
        """Forget the frames so far: the sample begins anew."""
        self.motion: list[float] = []
        """As in ``DecodedClip``; so is ``map_of``."""
        self.map_of: list[int] = []
        self._previous: Picture | None = None
        self._painted: Picture | None = None

    def add(self, picture: Picture) -> None:
        """Take one more frame."""
        previous, self._previous = self._previous, picture
        if previous is None:
            self._paint(picture)
            self.motion.append(0.0)
        elif not _are_alike(previous, picture):
            before = self._pixels_of(previous)
            self._paint(picture)
            self.motion.append(_measure_rgb(before, self._out[self.map_of[-1]]))
        else:
            self.motion.append(measure_luma(previous, picture))
            if self._moved_since_painted(previous, picture):
                self._paint(picture)
            else:
                self.map_of.append(self.map_of[-1])

    def _moved_since_painted(self, previous: Picture, picture: Picture) -> bool:
        if not self._reuse or self._painted is None:
            return True
        # Since the frame that the map is of, not since the one before: a slow pan adds up.
        since = self.motion[-1] if self._painted is previous else measure_luma(self._painted, picture)
        return since >= self._reuse

    def _paint(self, picture: Picture) -> None:
        place = self.map_of[-1] + 1 if self.map_of else 0
        picture.paint(self._scaler, self._out[place])
        self.map_of.append(place)
        self._painted = picture

    def _pixels_of(self, previous: Picture) -> NDArray[np.uint16]:
        """The frame before the next one, as it is painted."""
        pixels = np.empty(self._out.shape[1:], np.uint16)
        if previous is self._painted:
            pixels[...] = self._out[self.map_of[-1]]
        else:
            previous.paint(self._scaler, pixels)
        return pixels


def _are_alike(before: Picture, after: Picture) -> bool:
    sizes = [(picture.frame.width, picture.frame.height) for picture in (before, after)]
    return before.layout == after.layout and sizes[0] == sizes[1]


def measure_luma(before: Picture, after: Picture) -> float:
    """mean|Y_after − Y_before| / 255 at the clip's own size, of pictures of one size and format."""
    width, height = after.frame.width, after.frame.height
    total = color.absolute_difference(before.luma(), after.luma(), width)
    return total / (width * height * 255 << after.layout.depth - 8)


def _measure_rgb(before: NDArray[np.uint16], after: NDArray[np.uint16]) -> float:
    """The same of two pictures ``[3, height, width]`` of the model's size."""
    weights = np.array([0.2126, 0.7152, 0.0722], np.float32)
    return float(np.abs(np.tensordot(weights, after.astype(np.float32) - before, 1)).mean() / color.WHITE)
