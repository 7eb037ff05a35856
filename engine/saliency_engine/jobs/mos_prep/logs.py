"""libvmaf's logs, whose names are those of clips more or less, matched to the clips of the tables."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath

import numpy as np

from saliency_engine.errors import InputError
from saliency_engine.jobs.mos_prep.clips import Clips


def match_logs(logs: Clips, tables: Sequence[Clips]) -> Clips:
    """``logs`` under the keys that the clips of ``tables`` have; those of no clip are dropped.

    The log ``a.mp4.json``, or ``a.json``, or ``a.mp4.vmaf.json``, is that of the clip ``a.mp4``; ``a.json`` is nobody's
    where there are two clips of the stem ``a``. Without tables the logs are the clips. Raises ``InputError`` where two
    logs are of one clip.
    """
    if not tables:
        return logs
    keys = {key for table in tables for key in table.keys}
    by_stem: dict[str, str] = {}
    for key in sorted(keys):
        stem = PurePosixPath(key).stem
        by_stem[stem] = "" if stem in by_stem else key
    matches = [_match(key, keys, by_stem) for key in logs.keys]
    rows = [row for row, match in enumerate(matches) if match]
    of_clip: dict[str, int] = {}
    for row in rows:
        if (first := of_clip.setdefault(matches[row], row)) != row:
            raise InputError(
                f"{logs.name}: the logs {logs.keys[first]!r} and {logs.keys[row]!r} are both of the clip "
                f"{matches[row]!r}: move one elsewhere"
            )
    logs.dropped["a log without a clip"] += len(matches) - len(rows)
    return Clips(
        logs.name,
        logs.rows,
        logs.key_column,
        np.array([matches[row] for row in rows], object),
        [logs.tags[row] for row in rows],
        {name: values[rows] for name, values in logs.numbers.items()},
        {},
        logs.dropped,
        infinite=logs.infinite,
    )


def _match(name: str, keys: set[str], by_stem: dict[str, str]) -> str:
    for candidate in (name, PurePosixPath(name).stem):
        if candidate in keys:
            return candidate
        if by_stem.get(candidate):
            return by_stem[candidate]
    return ""
