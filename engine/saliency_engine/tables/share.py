"""``--shard I/N``: the rows of a table whose clips are one machine's to compute."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from saliency_engine.errors import ConfigError
from saliency_engine.tables.input import Table
from saliency_engine.types import RowBatch


class Share:
    """The part of ``table`` whose clips belong to ``shard``, ``I/N``. Raises ``ConfigError`` for another text.

    A clip belongs to a shard by a hash of its path as rows have it, joined to ``root``: no machine has to ask another
    one, and none looks at the others' files. Rows that keep their numbers belong to none.
    """

    rows_total = None
    """Nobody knows it before the end."""

    def __init__(self, table: Table, shard: str, root: str) -> None:
        self._table, self._root = table, root
        self._number, self._shards = parse_shard(shard)

    @property
    def fraction(self) -> float | None:
        """How much of the whole table has been read; see ``Table``."""
        return self._table.fraction

    def __iter__(self) -> Iterator[RowBatch[Any]]:
        """The batches of the table as far as they are in it, without their ``payload``: nothing is written of them."""
        for batch in self._table:
            ours = [place for place, clip in enumerate(batch.clips) if self._has(clip.path)]
            places = np.full(len(batch.clips) + 1, -1, np.int32)  # the last one is that of ``SKIPPED``
            places[ours] = np.arange(len(ours))
            codes = places[batch.codes]
            clips = tuple(batch.clips[place] for place in ours)
            yield replace(batch, codes=codes[codes >= 0], clips=clips, payload=None, kept={}, completed={})

    def _has(self, path: str) -> bool:
        name = os.path.normpath(Path(self._root, path))
        digest = hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        return int.from_bytes(digest, "big") % self._shards == self._number - 1


def parse_shard(shard: str) -> tuple[int, int]:
    """(I, N) of ``I/N``. Raises ``ConfigError`` for another text, and where I is more than N."""
    match = re.fullmatch(r"([1-9][0-9]{0,6})/([1-9][0-9]{0,6})", shard)
    if not match or int(match[1]) > int(match[2]):
        raise ConfigError(f"--shard is {shard!r}: write it as I/N, such as 3/16 for the third of 16; the first is 1/16")
    return int(match[1]), int(match[2])
