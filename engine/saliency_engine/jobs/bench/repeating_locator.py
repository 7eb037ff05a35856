"""A locator for benchmarks, which meet the same clips again and again and must compute them every time."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from saliency_engine.config import RunConfig
from saliency_engine.storage.locate import Locator
from saliency_engine.types import ClipReference, ClipRequest


@dataclass(frozen=True, slots=True)
class NumberedRequest(ClipRequest):
    """A request with a number, by which the memo takes it for another clip than all requests before it."""

    number: int = 0


class RepeatingLocator(Locator):
    """A locator that numbers its requests, so that no clip is known already."""

    def __init__(self, config: RunConfig) -> None:
        super().__init__(config)
        self._numbers = itertools.count()

    def locate(self, clip: ClipReference) -> NumberedRequest:
        """See ``Locator``."""
        request = super().locate(clip)
        number = next(self._numbers)
        return NumberedRequest(
            request.path, request.size, request.mtime_ns, request.raw, request.content, number=number
        )
