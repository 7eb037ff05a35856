"""A model at work: what decodes for it, what feeds it, and what remembers its results."""

from __future__ import annotations

from dataclasses import dataclass

from saliency_engine.inference.session import Session
from saliency_engine.models.load import Model
from saliency_engine.pipeline.feeder import Feeder
from saliency_engine.pipeline.memo import Memo
from saliency_engine.pipeline.pool import DecodePool
from saliency_engine.types import ClipRequest, DecodeSpec


@dataclass(frozen=True, eq=False)
class Runner:
    """One model of an engine. Models of one input size share a ``pool``, and with it each clip's decoded frames."""

    model: Model
    session: Session
    spec: DecodeSpec
    pool: DecodePool
    feeder: Feeder
    memo: Memo

    def lacks(self, request: ClipRequest) -> bool:
        """Whether this model could give the clip's numbers, and nobody knows them yet."""
        return not self.feeder.fault and self.memo.get(self.memo.key(request)) is None
