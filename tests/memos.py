"""Memos to be damaged, and what a run makes of them."""

from __future__ import annotations

import random
from contextlib import suppress
from pathlib import Path

import numpy as np

from saliency_engine.errors import MemoError
from saliency_engine.pipeline.memo import Memo
from saliency_engine.pipeline.memo_entry import encode
from saliency_engine.types import ClipRequest, ClipStatistics

ENTRIES = 60
Files = dict[str, bytes]


def whole_memo(folder: Path) -> Files:
    """The one file that a run leaves when it ends."""
    memo = Memo(folder / "memo", {})
    for number in range(ENTRIES):
        memo.put(memo.key(request(number)), request(number), statistics_of(number))
    memo.close()
    return _read(folder)


def memo_of_a_killed_run(folder: Path) -> Files:
    """A file with half of the entries, its log with the others, a transaction for each, and the log's index."""
    memo = Memo(folder / "memo", {})
    for number in range(ENTRIES):
        memo.put(memo.key(request(number)), request(number), statistics_of(number))
        memo.commit()
        if number == ENTRIES // 2 - 1:
            memo.close()
            memo = Memo(folder / "memo", {})
    files = _read(folder)
    memo.close()
    assert files.keys() == {"memo", "memo-wal", "memo-shm"}
    return files


def cuts(content: bytes) -> set[int]:
    """Where to cut: at every border of a page and of a frame of the log, and at places between them."""
    size = len(content)
    return {*range(0, size, 4096), *range(32, size, 4096 + 24), *range(1000, size, 4096), size - 1}


def flipped(files: Files, name: str, generator: random.Random) -> Files:
    """The files with one to 64 bits of ``name`` flipped."""
    content = bytearray(files[name])
    for _ in range(generator.choice((1, 1, 8, 64))):
        content[generator.randrange(len(content))] ^= 1 << generator.randrange(8)
    return {**files, name: bytes(content)}


def survey(folder: Path, files: Files) -> tuple[int, str]:
    """Use damaged files as a run does; returns how many old entries it read, and the error that ended it, or "".

    Fails when an entry that is read, an old one or one put now, is not the one that was put. An entry that is missing
    is no failure: a run computes such a clip again.
    """
    for path in folder.iterdir():
        path.unlink()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    count = 0
    try:
        memo = Memo(folder / "memo", {})
    except MemoError as error:
        return 0, str(error)
    try:
        for number in range(ENTRIES):
            key = memo.key(request(number))
            statistics = memo.get(key)
            if statistics is None:
                memo.put(key, request(number), statistics_of(number))
                memo.commit()
                statistics = memo.get(key)
                if statistics is None:
                    continue  # it was put into a page that no search leads to: a run would compute the clip again
            else:
                count += 1
            assert isinstance(statistics, ClipStatistics)
            assert encode(statistics) == encode(statistics_of(number))
        memo.close()
    except MemoError as error:
        with suppress(MemoError):
            memo.close()
        return count, str(error)
    return count, ""


def request(number: int) -> ClipRequest:
    return ClipRequest("/clip", number, 0)


def statistics_of(number: int) -> ClipStatistics:
    generator, frames = np.random.default_rng(number), number % 8 + 1
    root = generator.random((frames, frames))
    return ClipStatistics(generator.random(frames), generator.random(frames), root @ root.T, (0.25, 0.125))


def _read(folder: Path) -> Files:
    return {path.name: path.read_bytes() for path in folder.iterdir()}
