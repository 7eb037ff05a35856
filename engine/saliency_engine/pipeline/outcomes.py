"""What decoding processes make of a clip."""

from __future__ import annotations

from dataclasses import dataclass

from saliency_engine.errors import ClipError
from saliency_engine.facts import ClipFacts
from saliency_engine.types import ClipRequest, DecodedClip


@dataclass(frozen=True, slots=True)
class DecodedInRing:
    """A decoded clip whose frames lie in a ring slot, until ``DecodePool.release`` gives the slot to another."""

    request: ClipRequest
    decoded: DecodedClip
    ring_slot: int


@dataclass(frozen=True, slots=True)
class Probed:
    """A probed clip. It holds no ring slot."""

    request: ClipRequest
    facts: ClipFacts


@dataclass(frozen=True, slots=True)
class NotDecoded:
    """A clip that could not be decoded or probed, and why. It holds no ring slot."""

    request: ClipRequest
    error: ClipError
