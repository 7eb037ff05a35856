"""An hour of mutants: damaged tables, lines, options and manifests, each read in a process that may die of it."""

from __future__ import annotations

from collections import Counter

import pytest
from tests.torture import fuzz
from tests.torture.conftest import SCALE, Record
from tests.torture.seeds import try_seeds

BLOCK = 2000
# How an hour of processor time is shared out: the more code reads the data, the more of it. Others get 2 minutes.
MINUTES = {"lines": 12, "lines_to_arrow": 12, "parquet": 10, "arrow": 8, "stream": 8, "packed": 3, "config": 3}


@pytest.mark.parametrize("name", fuzz.TARGETS)
def test_mutants_are_read_or_refused(name: str, record: Record) -> None:
    outcomes, wrong, deaths = Counter[str](), dict[int, str](), dict[int, int]()
    first, used = 0, 0.0
    while used < 60 * MINUTES.get(name, 2) * SCALE:
        tried = try_seeds(fuzz.__name__, name, first, BLOCK)
        first, used = tried.last + 1, used + tried.seconds
        outcomes += tried.outcomes
        wrong |= tried.wrong
        if tried.death is not None:
            deaths[tried.last] = tried.death
    figures = {"mutants": first, "outcomes": dict(outcomes), "wrong": len(wrong), "deaths": len(deaths)}
    record(f"19-{name}", **figures, cpu_seconds=round(used))
    assert not wrong, next(iter(wrong.items()))
    assert not deaths, deaths
