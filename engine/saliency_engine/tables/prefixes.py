"""Which columns of a table are those of one run: their common prefix, by the tag columns that belong together."""

from __future__ import annotations

from collections.abc import Sequence

from saliency_engine.errors import InputError

DEFAULT = "saliency_"


def find_prefixes(names: Sequence[str]) -> list[str]:
    """What the columns of each run among ``names`` begin with, in the table's order.

    A run writes a mean, a variance, and tags beside them; without tags, columns count by the usual prefix alone.
    """
    stems = [name.removesuffix("mean") for name in names if name.endswith("mean")]
    tagged = [stem for stem in stems if f"{stem}var" in names and {f"{stem}status", f"{stem}model_id"} & {*names}]
    return tagged or [stem for stem in stems if stem == DEFAULT]


def choose_prefix(names: Sequence[str], asked: str, table: str) -> str:
    """The prefix to take: ``asked``, or without that the usual one where no other is there.

    Raises ``InputError`` naming ``table`` and the prefixes to choose from.
    """
    prefixes = find_prefixes(names)
    if not prefixes or asked in prefixes or (not asked and prefixes == [DEFAULT]):
        return asked or DEFAULT
    choices = " or ".join(f"--prefix {prefix}" for prefix in prefixes)
    if len(prefixes) == 1:
        raise InputError(
            f"{table}: the columns of its saliency do not begin with {asked or DEFAULT!r}: give {choices} to take them"
        )
    raise InputError(
        f"{table}: it has saliency of {len(prefixes)} settings, each in columns of its own prefix: take one with "
        f"{choices}"
    )


def others_columns(names: Sequence[str], prefix: str) -> set[str]:
    """Those of ``names`` that belong to a run of another prefix: by the longest one that they begin with."""
    prefixes = sorted({*find_prefixes(names), prefix}, key=len, reverse=True)
    owners = {name: next((each for each in prefixes if name.startswith(each)), prefix) for name in names}
    return {name for name, owner in owners.items() if owner != prefix}
