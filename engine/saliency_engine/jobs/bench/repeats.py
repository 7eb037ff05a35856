"""Clips that a benchmark meets again and again without their being known already."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from saliency_engine.config import RunConfig
from saliency_engine.storage.locate import Locator
from saliency_engine.types import ClipReference, ClipRequest


@dataclass(frozen=True, slots=True)
class Mention(ClipRequest):
    """One mention of a clip; by its ``number`` the memo takes it for another clip than the mentions before."""

    number: int = 0


class RepeatingLocator(Locator):
    """A locator that gives every mention of a clip a number of its own."""

    def __init__(self, config: RunConfig) -> None:
        super().__init__(config)
        self._numbers = itertools.count()

    def locate(self, clip: ClipReference) -> Mention:
        """See ``Locator``."""
        found = super().locate(clip)
        return Mention(found.path, found.size, found.mtime_ns, found.raw, found.content, next(self._numbers))
