"""``--extra luma`` and ``texture``: what the sampled frames' luma says, averaged over them."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from saliency_engine.extras import EXTRAS, OF_FRAMES
from saliency_engine.numerics.texture import luma_of, texture_of
from saliency_engine.video.picture import Picture


class LumaMeter:
    """Measures ``groups`` of ``extras.OF_FRAMES`` on one frame after another, at the clip's own size."""

    def __init__(self, groups: Collection[str]) -> None:
        self._groups = [group for group in OF_FRAMES if group in groups]
        self._frames: list[tuple[float, ...]] = []

    def restart(self) -> None:
        """Forget the frames so far: the sample begins anew."""
        self._frames.clear()

    def add(self, picture: Picture) -> None:
        """Measure one more frame."""
        if self._groups:
            plane, width, depth = picture.luma(), picture.frame.width, picture.layout.depth
            measures = {"luma": luma_of, "texture": texture_of}
            self._frames.append(sum((measures[group](plane, width, depth) for group in self._groups), ()))

    def values(self) -> dict[str, float]:
        """The means over the frames by role; of ``luma`` those but the difference between frames."""
        roles = [role for group in self._groups for role in EXTRAS[group] if role != "frame_diff_mean"]
        return dict(zip(roles, np.mean(self._frames, axis=0).tolist(), strict=True)) if self._frames else {}
