"""Whether the rows that keep their numbers may stand in one table with those that get new ones."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from math import isfinite
from typing import Any

from saliency_engine.config import RunConfig
from saliency_engine.errors import InputError
from saliency_engine.tags import TAG_ROLES, Tags
from saliency_engine.types import SKIPPED, ClipResult, PayloadT, RowBatch, Status

_EXAMPLES = 3


class KeptRows:
    """Counts the rows that keep their numbers, by their tags, and refuses a mixture with those of a run.

    ``tags`` are those of the run whose options are ``config``.
    """

    def __init__(self, tags: Tags, config: RunConfig) -> None:
        self.others: Counter[Tags] = Counter()
        """The kept rows whose tags contradict those of the run."""
        self.untagged = 0
        """The kept rows of which a tag is missing, so that nobody knows."""
        self._of_others: Counter[Tags] = Counter()  # rows to complete whose numbers are not known to be this run's
        self._tags, self._keep_others = tags, config.keep_others
        self._roles = tuple(role for role in TAG_ROLES if config.output_columns[role])
        self._rows: Iterator[RowBatch[Any]] = iter(())
        self._todo, self._computed = 0, False

    def watch(
        self, batches: Iterable[RowBatch[PayloadT]], turn: int = 0, turns: int = 1
    ) -> Iterator[RowBatch[PayloadT]]:
        """``batches`` as they are; raises ``InputError`` as ``check`` does.

        Where several runs share the batches in so many ``turns``, those of this one are each ``turn``'s.
        """
        self._rows = self._count(batches, turn, turns)
        for batch in self._rows:
            self._refuse_mixture()
            self._refuse_completing()
            yield batch

    def check(self, results: Sequence[ClipResult]) -> None:
        """Note that ``results`` go into the table. Raises ``InputError`` where rows of other settings stay in it."""
        self._computed = self._computed or any(result.status is Status.OK for result in results)
        self._refuse_mixture()

    def as_json(self) -> dict[str, Any]:
        """The audit's part about the rows that keep their numbers."""
        tags = [
            {**{role: _as_json(getattr(one, role)) for role in self._roles}, "rows": n}
            for one, n in self.others.items()
        ]
        return {
            "other_settings": self.others.total(),
            "untagged": self.untagged,
            "others": tags,
            "description": self.describe_others(),
        }

    def describe_others(self) -> str:
        """For people: how many rows have which other tags; three of the most frequent."""
        examples = [f"{n} with {tags.describe_against(self._tags)}" for tags, n in self.others.most_common(_EXAMPLES)]
        more = len(self.others) - len(examples)
        return "; ".join(examples) + (f"; and {more} other combinations" if more else "")

    def _count(self, batches: Iterable[RowBatch[PayloadT]], turn: int, turns: int) -> Iterator[RowBatch[PayloadT]]:
        for place, batch in enumerate(batches):
            if place % turns != turn:
                yield batch
                continue
            self._todo += int((batch.codes != SKIPPED).sum())
            for tags, rows in batch.kept.items():
                if tags.contradictions(self._tags):
                    self.others[tags] += rows
                elif self._lacks_a_tag(tags):
                    self.untagged += rows
            for tags, rows in batch.completed.items():
                if tags.contradictions(self._tags) or self._lacks_a_tag(tags):
                    self._of_others[tags] += rows
            yield batch

    def _lacks_a_tag(self, tags: Tags) -> bool:
        return any(getattr(tags, role) is None for role in self._roles)

    def _refuse_completing(self) -> None:
        """Numbers that this run has not made, or of which nobody knows who has, are not replaced unasked."""
        if not self._of_others:
            return
        deque(self._rows, maxlen=0)
        known = {tags: rows for tags, rows in self._of_others.items() if tags.contradictions(self._tags)}
        descriptions = [f"{rows} with {tags.describe_against(self._tags)}" for tags, rows in known.items()]
        if untagged := self._of_others.total() - sum(known.values()):
            descriptions.append(f"{untagged} without a tag")
        raise InputError(
            f"{self._of_others.total()} rows lack columns of --extra, and their mean and variance are not known to be "
            f"those of this run's settings ({'; '.join(descriptions[-_EXAMPLES:])}), which would replace them. Compute "
            "all rows with --overwrite, or write to columns of their own with --prefix NAME_. The output is not written"
        )

    def _refuse_mixture(self) -> None:
        if self._keep_others or not self._computed or not self.others:
            return
        deque(self._rows, maxlen=0)  # the rest is read for its counts; nothing more is computed
        raise InputError(
            f"{self.others.total()} rows keep numbers that other settings made ({self.describe_others()}), while "
            f"{self._todo} rows would get numbers of this run. Compute all of them with --overwrite, write to columns "
            "of their own with --prefix NAME_, or keep both kinds with --keep-others, which counts them. The output is "
            "not written; clips that were computed are in the memo"
        )


def _as_json(value: str | float | None) -> str | float | None:
    """``value``; an alpha that JSON has no number for, as text."""
    return str(value) if isinstance(value, float) and not isfinite(value) else value
