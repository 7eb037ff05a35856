"""Fails each call in turn on every kind of file that we write, and checks what the files hold afterwards.

    LD_PRELOAD=faults.so python -m tests.full_disk FOLDER [--all]

It works in FOLDER and prints counts as JSON. Each call fails with its likelier error; with ``--all`` with both.
"""

from __future__ import annotations

import ctypes
import errno
import itertools
import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from tests.memos import request, statistics_of

from saliency_engine.errors import MemoError, OutputError
from saliency_engine.pipeline.memo import Memo
from saliency_engine.pipeline.memo_entry import encode
from saliency_engine.storage.atomic import write_together
from saliency_engine.tables import formats
from saliency_engine.tables.output import open_output
from saliency_engine.types import ClipStatistics

SHIM = ctypes.CDLL(None)
NOISE = pa.record_batch({"x": [os.urandom(300) for _ in range(3_000)]})  # 1 MB, as much as is written at once


@dataclass
class Fault:
    """The ``k``-th ``call`` fails with ``error``, and so does every later one."""

    call: str
    k: int
    error: int
    happened: bool = False


def every_fault() -> Iterator[Fault]:
    """The faults of each call in turn, until there is no k-th call."""
    likely = {"write": errno.ENOSPC, "fsync": errno.EIO, "rename": errno.EIO, "truncate": errno.ENOSPC}
    for call, error in likely.items():
        for code in (errno.ENOSPC, errno.EIO) if "--all" in sys.argv else (error,):
            for k in itertools.count(1):
                fault = Fault(call, k, code)
                yield fault
                if not fault.happened:
                    break


@contextmanager
def injected(fault: Fault, part: str) -> Iterator[None]:
    """Makes ``fault`` happen on the files whose path contains ``part``."""
    SHIM.fault_arm(part.encode(), fault.call.encode(), ctypes.c_long(fault.k), fault.error)
    try:
        yield
    finally:
        fault.happened = SHIM.fault_seen() >= fault.k
        SHIM.fault_arm(b"", b"", ctypes.c_long(0), 0)


def table(suffix: str, folder: Path) -> tuple[Path, Callable[[], None]]:
    target = folder / f"out.{suffix}"

    def write() -> None:
        with open_output(str(target), formats.of_path(str(target), "output"), NOISE.schema) as output:
            for _ in range(3):
                output.write(NOISE)
            output.commit(3 * NOISE.num_rows)

    return target, write


def document(folder: Path) -> tuple[Path, Callable[[], None]]:
    target = folder / "audit.json"
    return target, lambda: write_together({target: b"{}\n" * 100_000})


def spoil(target: Path, write: Callable[[], None]) -> Counter[str]:
    """Every fault on one file: the error must name path and cause, and the file that was there must stay."""
    counts: Counter[str] = Counter()
    for fault in every_fault():
        target.write_text("before")
        message = ""
        with injected(fault, str(target.parent)):
            try:
                write()
            except OutputError as failure:
                message = str(failure)
        if not fault.happened:
            assert not message, (fault, message)
            continue
        counts[fault.call] += 1
        assert str(target) in message, (fault, message)
        assert os.strerror(fault.error) in message, (fault, message)
        left = {path.name for path in target.parent.iterdir()}
        if "its folder cannot be flushed" in message:
            counts["after the rename"] += 1
            assert left <= {target.name}, (fault, left)
        else:
            assert left == {target.name}, (fault, left)
            assert target.read_text() == "before", fault
    return counts


def spoil_memo(folder: Path) -> Counter[str]:
    """Every fault on the memo: an error must name it, and what was committed before must be there afterwards."""
    counts: Counter[str] = Counter()
    for fault in every_fault():
        committed, message = 0, ""
        with injected(fault, str(folder)):
            try:
                memo = Memo(folder / "memo", {})
                try:
                    for number in range(6):
                        memo.put(memo.key(request(number)), request(number), statistics_of(number))
                        memo.commit()
                        committed = number + 1
                finally:
                    memo.close()
            except MemoError as failure:
                message = str(failure)
        if fault.happened:
            counts[fault.call] += 1
            counts["told"] += bool(message)
            # A fault while the log is folded into the file at the end costs nothing: the log stays.
            assert str(folder / "memo") in message or committed == 6, (fault, message)
            assert fault.error == errno.EIO or not message or " full" in message, (fault, message)
        memo = Memo(folder / "memo", {})
        for number in range(6):
            statistics = memo.get(memo.key(request(number)))
            assert statistics is not None or number >= committed, (fault, number, committed)
            if statistics is not None:
                assert isinstance(statistics, ClipStatistics), fault
                assert encode(statistics) == encode(statistics_of(number)), (fault, number)
        memo.close()
        for left in folder.iterdir():
            left.unlink()
    return counts


def main(folder: Path) -> None:
    jobs: dict[str, Callable[[Path], Counter[str]]] = {
        suffix: lambda at, suffix=suffix: spoil(*table(suffix, at))  # type: ignore[misc]
        for suffix in ("jsonl", "jsonl.gz", "jsonl.zst", "parquet", "arrow")
    }
    jobs |= {"audit": lambda at: spoil(*document(at)), "memo": spoil_memo}
    results: dict[str, Any] = {}
    for name, job in jobs.items():
        (folder / name).mkdir()
        results[name] = dict(job(folder / name))
    print(json.dumps(results))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
