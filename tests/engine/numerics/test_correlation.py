"""Statistics against SciPy's own and against plain definitions, on tables with ties, noise and planted signals."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import optimize, stats

from saliency_engine.numerics import correlation
from saliency_engine.numerics.correlation import (
    Contents,
    bootstrap,
    fit_logistic,
    krcc,
    partial_correlation,
    plcc,
    rmse,
    srocc,
)

Numbers = NDArray[np.float64]


def pair(seed: int, rows: int = 300, *, ties: bool = False) -> tuple[Numbers, Numbers]:
    generator = np.random.default_rng(seed)
    x = generator.normal(size=rows)
    y = 0.5 * x + generator.normal(size=rows)
    return (np.round(x, 1), np.round(y * 2) / 2) if ties else (x, y)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_correlations_are_scipys(seed: int, ties: bool) -> None:
    x, y = pair(seed, ties=ties)
    assert plcc(x, y) == pytest.approx(stats.pearsonr(x, y).statistic, abs=1e-9)
    assert srocc(x, y) == pytest.approx(stats.pearsonr(stats.rankdata(x), stats.rankdata(y)).statistic, abs=1e-9)
    assert krcc(x, y) == pytest.approx(stats.kendalltau(x, y, variant="b").statistic, abs=1e-9)


def test_kendalls_tau_counts_pairs() -> None:
    x, y = pair(3, 40, ties=True)
    signs = np.sign(x[:, None] - x) * np.sign(y[:, None] - y)
    untied = [np.count_nonzero(values[:, None] != values) for values in (x, y)]
    assert krcc(x, y) == pytest.approx(signs.sum() / np.sqrt(float(untied[0]) * untied[1]), abs=1e-9)


@pytest.mark.parametrize("statistic", [plcc, srocc, krcc])
@pytest.mark.parametrize(("x", "y"), [([], []), ([1.0], [2.0]), ([1.0, 1.0, 1.0], [1.0, 2.0, 3.0])])
def test_what_has_no_meaning_is_nan_and_silent(statistic: Any, x: list[float], y: list[float]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isnan(statistic(np.array(x), np.array(y)))


def test_the_error_is_in_the_labels_unit() -> None:
    assert rmse(np.array([1.0, 2.0, 4.0]), np.array([1.0, 4.0, 2.0])) == pytest.approx(np.sqrt(8 / 3))
    assert np.isnan(rmse(np.array([]), np.array([])))


@pytest.mark.parametrize("sign", [1, -1])
def test_the_logistic_fits_as_well_as_a_search_from_many_starts(sign: int) -> None:
    generator = np.random.default_rng(5)
    x = generator.uniform(0, 0.2, 400)
    y = 1.2 + 3.4 / (1 + np.exp(-sign * (x - 0.08) / 0.02)) + generator.normal(0, 0.2, 400)

    def error(parameters: Numbers) -> Numbers:
        b1, b2, b3, b4 = parameters
        return np.asarray(b2 + (b1 - b2) / (1 + np.exp(-(x - b3) / (abs(b4) + 1e-9))) - y)

    starts = [(y.max(), y.min(), b3, b4) for b3 in (0.05, 0.1, 0.15) for b4 in (0.01, 0.03)]
    starts += [(b2, b1, b3, b4) for b1, b2, b3, b4 in starts]
    best = min(optimize.least_squares(error, start, x_scale=[1, 1, 0.1, 0.01]).cost for start in starts)
    mapped = fit_logistic(x, y)
    assert mapped.form == "logistic"
    assert rmse(mapped.values, y) == pytest.approx(np.sqrt(2 * best / 400), rel=1e-6)
    order = np.argsort(x)
    assert (sign * np.diff(mapped.values[order]) >= 0).all(), "monotone"
    b1, b2, b3, b4 = mapped.parameters
    assert mapped.values == pytest.approx(b2 + (b1 - b2) / (1 + np.exp(-(x - b3) / b4)))
    assert (b3, b4) == pytest.approx((0.08, 0.02), rel=0.1)


def test_a_logistic_without_an_end_becomes_a_line_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = pair(4)
    monkeypatch.setattr(correlation, "_MOST_STEPS", 2)
    mapped = fit_logistic(x, y)
    line = stats.linregress(x, y)
    assert mapped.form == "linear"
    assert mapped.values == pytest.approx(line.intercept + line.slope * x, abs=1e-9)
    assert fit_logistic(np.ones(9), np.arange(9.0)).values == pytest.approx(np.full(9, 4.0)), "nothing to map by"


@pytest.mark.parametrize("seed", range(20))
def test_a_mapping_is_never_worse_than_a_line(seed: int) -> None:
    generator = np.random.default_rng(seed)
    x, y = generator.normal(size=(2, 60))
    line = stats.linregress(x, y)
    assert rmse(fit_logistic(x, y).values, y) <= rmse(line.intercept + line.slope * x, y) + 1e-12


def test_partial_correlation_is_that_of_the_formula_and_of_the_inverse() -> None:
    generator = np.random.default_rng(6)
    given = generator.normal(size=(500, 3)) * [1, 100, 1e-3] + [0, 1e4, 5]
    x = given @ [1, 0.01, 300] + generator.normal(size=500)
    y = 0.3 * x + given @ [-1, 0.02, 0] + generator.normal(size=500)
    r = np.corrcoef([x, y, given[:, 0]])
    formula = (r[0, 1] - r[0, 2] * r[1, 2]) / np.sqrt((1 - r[0, 2] ** 2) * (1 - r[1, 2] ** 2))
    assert partial_correlation(x, y, given[:, :1]) == pytest.approx(formula, abs=1e-9)
    inverse = np.linalg.inv(np.corrcoef(np.column_stack([x, y, given]).T))
    expected = -inverse[0, 1] / np.sqrt(inverse[0, 0] * inverse[1, 1])
    assert partial_correlation(x, y, given) == pytest.approx(expected, abs=1e-9)
    doubled = np.column_stack([given, given[:, 0], np.ones(500)])
    assert partial_correlation(x, y, doubled) == pytest.approx(expected, abs=1e-9), "columns twice, or constant"


def test_nothing_is_left_of_what_is_given() -> None:
    x, y = pair(7)
    assert np.isnan(partial_correlation(x, y, np.column_stack([x, x**2])))
    assert np.isnan(partial_correlation(x[:4], y[:4], x[:4, None] ** [1, 2, 3]))


def test_intervals_resample_contents_and_not_rows() -> None:
    generator = np.random.default_rng(8)
    contents = np.repeat(np.arange(25), 40)
    values = generator.normal(size=25)[contents] + generator.normal(0, 0.05, 1000)
    low, high = bootstrap(lambda rows: float(values[rows].mean()), contents)
    spread = values.reshape(25, 40).mean(axis=1).std() / 5
    assert (high - low) / (2 * 1.96) == pytest.approx(spread, rel=0.1)
    alone, alike = bootstrap(lambda rows: float(values[rows].mean()), np.arange(1000))
    assert high - low > 4 * (alike - alone), "a row is no content"


def test_intervals_are_those_of_scipys_percentile_bootstrap() -> None:
    x, y = pair(9, 150)
    low, high = bootstrap(lambda rows: plcc(x[rows], y[rows]), np.arange(150), resamples=1500)
    theirs = stats.bootstrap(
        (x, y), lambda a, b: stats.pearsonr(a, b).statistic, paired=True, vectorized=False, n_resamples=1500,
        method="percentile", rng=np.random.default_rng(1),
    ).confidence_interval  # fmt: skip
    assert (low, high) == pytest.approx((theirs.low, theirs.high), abs=0.015)


def test_resamples_are_the_same_for_a_seed_and_another_for_another() -> None:
    x, y = pair(10, 60)
    intervals = [bootstrap(lambda rows: plcc(x[rows], y[rows]), np.arange(60), 200, seed) for seed in (0, 0, 1)]
    assert intervals[0] == intervals[1] != intervals[2]


def test_a_resample_holds_whole_contents() -> None:
    names = np.array(["b", "a", "b", "c", "a", "b"], object)
    contents = Contents(names)
    rows = contents.rows_of(np.array([1, 1, 0]))
    assert list(names[rows]) == ["b"] * 6 + ["a"] * 2


def test_one_content_has_no_interval() -> None:
    assert np.isnan(bootstrap(lambda rows: float(len(rows)), np.array(["one"] * 5))).all()
    assert np.isnan(bootstrap(lambda _: np.nan, np.arange(5))).all()
