"""Thousands of damages to one table in each format: refused, without effect, or unnoticed, and how often each."""

from __future__ import annotations

from collections import Counter

import pytest
from tests.torture import damage
from tests.torture.conftest import Record, times
from tests.torture.seeds import try_seeds


@pytest.mark.parametrize("name", damage.TARGETS)
def test_damage_is_noticed_where_the_format_has_checksums(name: str, record: Record) -> None:
    outcomes, wrong, deaths, first = Counter[str](), dict[int, str](), dict[int, int](), 0
    count = times(5000)
    while first < count:
        tried = try_seeds(damage.__name__, name, first, count - first)
        first = tried.last + 1
        outcomes += tried.outcomes
        wrong |= tried.wrong
        if tried.death is not None:
            deaths[tried.last] = tried.death
    record(f"14-{name.replace(', ', '-').replace(' ', '-')}", damages=count, **outcomes, deaths=len(deaths))
    assert not wrong, next(iter(wrong.items()))
    assert not deaths, deaths
    if name in {"parquet, as written here", "parquet, zstd, page checksums", "lines, gzip"}:
        assert outcomes["unnoticed, body"] == 0
