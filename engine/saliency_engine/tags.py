"""What a row says of how its numbers were made, and whether that contradicts what a run would say."""

from __future__ import annotations

from dataclasses import dataclass, fields
from math import isclose

_WORDS = {"model_id": "model", "aggregator": "aggregator", "ema_alpha": "alpha", "sampling": "sampling"}


@dataclass(frozen=True, slots=True)
class Tags:
    """The values of a row's tag columns; ``None``: the row says nothing there."""

    model_id: str | None = None
    aggregator: str | None = None
    ema_alpha: float | None = None
    sampling: str | None = None

    def contradictions(self, other: Tags) -> tuple[str, ...]:
        """The fields in which numbers with these tags cannot be those that ``other`` names.

        ``None`` contradicts nothing, and alpha matters for the aggregator ema alone.
        """
        ema = "ema" in (self.aggregator, other.aggregator)
        roles = (role for role in TAG_ROLES if ema or role != "ema_alpha")
        return tuple(role for role in roles if not _agree(getattr(self, role), getattr(other, role)))

    def describe_against(self, other: Tags) -> str:
        """For people: the tags that contradict ``other``, each beside the other's."""
        pairs = ((name, getattr(self, name), getattr(other, name)) for name in self.contradictions(other))
        return ", ".join(f"{_WORDS[name]} {mine!r} (this run: {theirs!r})" for name, mine, theirs in pairs)


TAG_ROLES = tuple(field.name for field in fields(Tags))
"""The output columns that are tags, by the keys of ``RunConfig.output_columns``."""


def _agree(mine: str | float | None, theirs: str | float | None) -> bool:
    """Whether two values may mean the same. A column of float32 may hold the alpha."""
    if isinstance(mine, float) and isinstance(theirs, float):
        return isclose(mine, theirs, rel_tol=1e-6)
    return mine is None or theirs is None or mine == theirs
