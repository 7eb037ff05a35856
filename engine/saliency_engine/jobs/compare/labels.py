"""Scores, features and contents of clips, from whichever of the tables has them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

import numpy as np
from numpy.typing import NDArray

from saliency_engine.errors import InputError
from saliency_engine.jobs.compare.sides import KeyedTable, Numbers, Side, pool
from saliency_engine.jobs.signal_values import read_signal

VMAF_FEATURES = ("adm2", "vif_scale[0-3]", "motion2", "adm2_mean", "vif_scale[0-3]_mean", "motion2_mean")
"""What VMAF itself is made from, by the names that libvmaf and the materializers of features write."""
_SAME = 1e-9


def find_labels(tables: Sequence[KeyedTable], target: str, keys: Sequence[str]) -> Numbers:
    """``[clips]``: the label of each clip, NaN where it has none. Raises ``InputError`` where two contradict."""
    known, sources = np.full(len(keys), np.nan), np.full(len(keys), "", object)
    having = [table for table in tables if target in table.whole.names]
    if not having:
        raise InputError(f"no table has a column {target!r} (--target); {_list_columns(tables)}")
    for table in having:
        values = read_signal(table.whole, target)
        usable = np.isfinite(values) & (table.codes >= 0)
        for code, value in zip(table.codes[usable].tolist(), values[usable].tolist(), strict=True):
            if not np.isnan(known[code]) and abs(known[code] - value) > _SAME * max(1.0, abs(value)):
                raise InputError(
                    f"the clip {keys[code]!r} has two labels: {known[code]:g} in {sources[code]} and {value:g} in "
                    f"{table.path}: remove one, or make the keys distinct with --key and --key-normalize"
                )
            known[code], sources[code] = value, table.path
    if not np.isfinite(known).any():
        paths = ", ".join(table.path for table in having)
        raise InputError(f"no score is a number: the column {target!r} of {paths} holds none in a row that has a key")
    return known


def _list_columns(tables: Sequence[KeyedTable]) -> str:
    names = dict.fromkeys(name for table in tables for name in table.whole.names)
    return f"the columns are {', '.join(map(repr, names))}"


def find_features(
    tables: Sequence[KeyedTable], patterns: Sequence[str], clips: int, exclude: set[str]
) -> list[tuple[str, Numbers]]:
    """Columns whose names fit one of ``patterns``, with a number for each clip from whichever table has it.

    Empty ``patterns`` are those of ``VMAF_FEATURES``. Raises ``InputError`` for one that fits no column.
    """
    features: dict[str, Numbers] = {}
    for table in tables:
        for name in table.whole.names:
            fits = any(fnmatchcase(name, pattern) for pattern in patterns or VMAF_FEATURES) and name not in exclude
            if fits and table.whole.holds_numbers(name):
                values = pool(read_signal(table.whole, name), table.codes, clips)
                former = features.get(name, values)
                features[name] = np.where(np.isfinite(former), former, values)
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in features):
            raise InputError(f"--given {pattern!r} fits no column of numbers; {_list_columns(tables)}")
    return list(features.items())


def find_contents(tables: Sequence[KeyedTable], column: str, clips: int) -> NDArray[np.int64]:
    """``[clips]``: the content of each clip as a number; a clip of which none is known is one of its own.

    Without ``column`` it is ``content``, where a table has it. Raises ``InputError`` where no table has ``column``.
    """
    contents = np.arange(clips)
    having = [table for table in tables if (column or "content") in table.whole.names]
    if column and not having:
        raise InputError(f"no table has a column {column!r} (--content)")
    names: dict[str, int] = {}
    for table in having:
        for code, text in zip(table.codes.tolist(), table.whole.texts(column or "content"), strict=True):
            if code >= 0 and text is not None:
                contents[code] = names.setdefault(text, clips + len(names))
    return contents


def explain_no_clip(known: Numbers, sides: Sequence[Side], keys: Sequence[str], target: str) -> str:
    """Why no clip has a label and all signals: how many have either, and how their keys look."""
    having = np.isfinite(sides[0].signals["mean"])
    labelled = np.flatnonzero(np.isfinite(known))
    counts: Mapping[str, int] = {side.table: side.clips for side in sides}
    clips = ", ".join(f"{count} in {table}" for table, count in counts.items())
    key = repr(keys[np.flatnonzero(having)[0]]) if having.any() else "none"
    other = repr(keys[labelled[0]]) if len(labelled) else "none"
    return (
        f"no clip has both a label {target!r} and numbers in every table: clips with numbers are {clips}, with labels "
        f"{len(labelled)}. A key of the first kind is {key}, of the second {other}: if they name the same clips, make "
        "them alike with --key, --label-key and --key-normalize"
    )
