"""Weighted rows give the numbers of rows that are repeated, and resamples the intervals of the plain bootstrap."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from saliency_engine.numerics.correlation import (
    bootstrap,
    interval_of,
    krcc,
    partial_correlation,
    plcc,
    rmse,
    srocc,
)
from saliency_engine.numerics.resampling import WeightedPair, WeightedPartial, resample, weighted_rmse


def table(seed: int, rows: int = 120) -> tuple[Any, Any, Any, NDArray[np.int64]]:
    """x, y with ties, three columns to be given, and how often each row counts."""
    generator = np.random.default_rng(seed)
    given = generator.normal(size=(rows, 3)) * [1, 1000, 1e-4]
    x = np.round(given[:, 0] + generator.normal(size=rows), 1)
    y = np.round(0.4 * x + given[:, 0] + generator.normal(size=rows), 1)
    return x, y, given, generator.poisson(1.0, rows)


@pytest.mark.parametrize("seed", range(6))
def test_weighted_statistics_are_those_of_repeated_rows(seed: int) -> None:
    x, y, given, weights = table(seed)
    a, b, c = (np.repeat(column, weights, axis=0) for column in (x, y, given))
    pair = WeightedPair(x, y)
    assert pair.plcc(weights) == pytest.approx(plcc(a, b), abs=1e-9)
    assert pair.srocc(weights) == pytest.approx(srocc(a, b), abs=1e-9)
    assert pair.krcc(weights) == pytest.approx(krcc(a, b), abs=1e-9)
    assert WeightedPartial(x, y, given).correlation(weights) == pytest.approx(partial_correlation(a, b, c), abs=1e-9)
    twice = np.column_stack([given, given[:, 0]])
    assert WeightedPartial(x, y, twice).correlation(weights) == pytest.approx(partial_correlation(a, b, c), abs=1e-9)
    assert weighted_rmse((x - y) ** 2, weights) == pytest.approx(rmse(a, b), abs=1e-9)


def test_a_resample_in_which_nothing_varies_has_no_correlation() -> None:
    pair, weights = WeightedPair(np.array([1.0, 2.0, 3.0]), np.array([3.0, 1.0, 2.0])), np.array([0, 3, 0])
    assert np.isnan([pair.plcc(weights), pair.srocc(weights), pair.krcc(weights)]).all()


def test_intervals_are_those_of_the_plain_bootstrap() -> None:
    x, y, _, _ = table(11)
    contents = np.repeat(np.arange(40), 3).astype(str)
    pair = WeightedPair(x, y)
    values = resample([pair.plcc, pair.srocc, pair.krcc], contents, resamples=60, seed=4)
    for column, statistic in enumerate((plcc, srocc, krcc)):

        def measure(rows: NDArray[np.intp], of: Any = statistic) -> float:
            return float(of(x[rows], y[rows]))

        plain = bootstrap(measure, contents, resamples=60, seed=4)
        assert interval_of(values[:, column]) == pytest.approx(plain, abs=1e-9)


def test_differences_of_two_signals_are_paired() -> None:
    generator = np.random.default_rng(12)
    y = generator.normal(size=200)
    x = y + generator.normal(size=200)
    near = x + generator.normal(0, 0.01, 200)
    values = resample([WeightedPair(x, y).srocc, WeightedPair(near, y).srocc], np.arange(200), resamples=200)
    assert np.std(values[:, 0] - values[:, 1]) < 0.1 * np.std(values[:, 0])


def test_one_content_gives_no_resample() -> None:
    pair = WeightedPair(np.array([1.0, 2.0]), np.array([1.0, 2.0]))
    assert resample([pair.plcc], np.array(["a", "a"])).shape == (0, 1)
