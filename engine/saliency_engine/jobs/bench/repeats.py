"""Clips that a benchmark meets again and again without their being known already."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from saliency_engine.config import RunConfig
from saliency_engine.storage.locate import Planner
from saliency_engine.types import ClipRequest, Source


@dataclass(frozen=True, slots=True)
class Mention(ClipRequest):
    """One mention of a clip; by its ``number`` the memo takes it for another clip than the mentions before."""

    number: int = 0


class RepeatingPlanner(Planner):
    """A planner that gives every mention of a clip a number of its own."""

    def __init__(self, config: RunConfig) -> None:
        super().__init__(config)
        self._numbers = itertools.count()

    def request(self, source: Source) -> Mention:
        """See ``Planner``."""
        clip = super().request(source)
        return Mention(clip.path, clip.size, clip.mtime_ns, clip.raw, clip.content, next(self._numbers))
