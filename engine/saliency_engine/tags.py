"""What a row says of how its numbers were made, and whether that contradicts what a run would say."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from itertools import combinations
from math import isclose
from typing import Any

_WORDS = {"model_id": "model", "aggregator": "aggregator", "ema_alpha": "alpha", "sampling": "sampling"}

_COUNTED, _KEYFRAMES = re.compile(r"^keyframes:\d+/", re.ASCII), re.compile(r"keyframes:(\d+)@", re.ASCII)


@dataclass(frozen=True, slots=True)
class Tags:
    """The values of a row's tag columns; ``None``: the row says nothing there."""

    model_id: str | None = None
    aggregator: str | None = None
    ema_alpha: float | None = None
    sampling: str | None = None
    """Never with the number of keyframes that a single clip had: rows of ``keyframes:6/8@…`` are of one sampling with
    those of ``keyframes:8@…``."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "sampling", sampling_alone(self.sampling))

    @property
    def kind(self) -> str:
        """For people: model, aggregator, alpha where that matters, and sampling; empty where none is stated."""
        alpha = f" {self.ema_alpha:g}" if self.aggregator == "ema" and self.ema_alpha is not None else ""
        return ", ".join(filter(None, (self.model_id, f"{self.aggregator or ''}{alpha}", self.sampling)))

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


def unite_tags(kinds: Iterable[Tags]) -> dict[Tags, Tags]:
    """What each of ``kinds`` is of: tags that contradict neither it nor each other are those of one kind.

    What some of these leave open the others say, and an alpha that does not matter is the first one's. Tags that fit
    several kinds stay what they are, and say nothing of others.
    """
    distinct = list(dict.fromkeys(kinds))
    fitting = {tags: [other for other in distinct if not tags.contradictions(other)] for tags in distinct}
    clear = [tags for tags, others in fitting.items() if not any(map(_contradict, combinations(others, 2)))]
    united = {tags: tags for tags in distinct}
    for tags in clear:
        alike = [other for other in clear if other in fitting[tags]]
        united[tags] = Tags(*(_first_stated(alike, role) for role in TAG_ROLES))
    return united


def _contradict(pair: tuple[Tags, Tags]) -> bool:
    return bool(pair[0].contradictions(pair[1]))


def _first_stated(kinds: Sequence[Tags], role: str) -> Any:
    return next((value for tags in kinds if (value := getattr(tags, role)) is not None), None)


TAG_ROLES = tuple(field.name for field in fields(Tags))
"""The output columns that are tags, by the keys of ``RunConfig.output_columns``."""


def sampling_alone(tag: str | None) -> str | None:
    """A row's sampling tag without the number of keyframes that its clip had: ``keyframes:8@…`` of either kind."""
    return tag and _COUNTED.sub("keyframes:", tag)


def sampling_of_clip(tag: str, frames: int) -> str:
    """The sampling tag of the rows of a clip that gave ``frames`` of the frames that ``tag`` asks for.

    It says so where a clip with fewer keyframes gave all of them, as in ``keyframes:6/8@320x320``.
    """
    asked = _KEYFRAMES.match(tag)
    return tag.replace(":", f":{frames}/", 1) if asked and frames < int(asked[1]) else tag


def _agree(mine: str | float | None, theirs: str | float | None) -> bool:
    """Whether two values may mean the same. A column of float32 may hold the alpha."""
    if isinstance(mine, float) and isinstance(theirs, float):
        return isclose(mine, theirs, rel_tol=1e-6)
    return mine is None or theirs is None or mine == theirs
