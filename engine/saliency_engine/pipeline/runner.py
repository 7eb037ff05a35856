"""A model at work: what decodes for it, what feeds it, and what remembers its results."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from saliency_engine.errors import ClipError
from saliency_engine.inference.session import Session
from saliency_engine.models.load import Model
from saliency_engine.pipeline.feeder import Feeder
from saliency_engine.pipeline.memo import Memo
from saliency_engine.pipeline.pool import DecodePool
from saliency_engine.types import ClipRequest, ClipStatistics, DecodeSpec


@dataclass(frozen=True, eq=False)
class Runner:
    """One model of an engine. Models of one input size share a ``pool``, and with it each clip's decoded frames."""

    model: Model
    session: Session
    spec: DecodeSpec
    pool: DecodePool
    feeder: Feeder
    memo: Memo

    def known(self, request: ClipRequest) -> ClipStatistics | ClipError | None:
        """What is known of a clip; ``None`` where nothing is, or a map of it is wanted that only the model gives."""
        outcome = self.memo.get(self.memo.key(request))
        if isinstance(outcome, ClipStatistics) and any(folder.lacks(request) for folder in self.feeder.maps):
            return None
        return outcome

    def lacks(self, request: ClipRequest, waiting: Collection[bytes]) -> bool:
        """Whether this model could give the clip's numbers or maps, nobody has them all, and nobody is ``waiting``."""
        if self.feeder.fault or self.memo.key(request) in waiting:
            return False
        known = self.known(request)
        return known is None or (isinstance(known, ClipStatistics) and not all(map(known.extras.has, request.extra)))
