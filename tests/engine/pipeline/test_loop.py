"""The loop: what becomes of clips that fail."""

from __future__ import annotations

from saliency_engine.errors import ClipError
from saliency_engine.types import Status


def test_every_way_to_fail_is_a_status_of_its_own() -> None:
    kinds = ClipError.__subclasses__()
    assert len({Status(kind.status) for kind in kinds}) == len(kinds)
