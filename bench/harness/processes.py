"""Processor seconds of the processes that this one has started."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

_TICK = 1 / os.sysconf("SC_CLK_TCK")


def descendants() -> dict[int, tuple[str, float]]:
    """Every process that this one has started, and that those have: its name, and its processor seconds so far."""
    all_of_them = {process: (parent, name, seconds) for process, parent, name, seconds in _list_processes()}
    below: dict[int, tuple[str, float]] = {}
    for process, (_, name, seconds) in all_of_them.items():
        above = process
        while above in all_of_them and above != os.getpid():
            above = all_of_them[above][0]
        if above == os.getpid() != process:
            below[process] = name, seconds
    return below


def _list_processes() -> Iterator[tuple[int, int, str, float]]:
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            head, _, rest = (entry / "stat").read_text().rpartition(")")
        except OSError:
            continue  # it ended between the listing and the reading
        fields = rest.split()
        yield int(entry.name), int(fields[1]), head.partition("(")[2], _TICK * (int(fields[11]) + int(fields[12]))
