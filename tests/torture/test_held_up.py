"""Decoding workers are stopped and continued at random, with any number of workers and frames per call."""

from __future__ import annotations

from pathlib import Path

from tests.disturb import compute, disturbed
from tests.torture.conftest import Record, times


def test_held_up_workers(forty: list[Path], record: Record) -> None:
    expected = compute(forty)
    out_of_order, largest = 0, 0.0
    for seed in range(times(200)):
        rows = disturbed(1000 + seed, forty)
        out_of_order += [row[:2] for row in rows] != [row[:2] for row in expected]
        for (*_, mean, var), (*_, other_mean, other_var) in zip(rows, expected, strict=True):
            largest = max(largest, abs(mean - other_mean), abs(var - other_var))
    record("17-held-up-workers", seeds=times(200), out_of_order=out_of_order, largest_difference=largest)
    assert out_of_order == 0
    assert largest <= 1e-6
