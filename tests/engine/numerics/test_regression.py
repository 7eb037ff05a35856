"""Regressors that are tested on clips which they never saw, and tests of their differences."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from saliency_engine.numerics.correlation import srocc
from saliency_engine.numerics.regression import REGRESSORS, adjust, corrected_t_test, cross_validate, draw_folds


@pytest.mark.parametrize("name", REGRESSORS)
def test_a_signal_is_predicted(name: str) -> None:
    generator = np.random.default_rng(1)
    x = generator.normal(size=(90, 3)) * [1.0, 100.0, 0.01] + 5  # scales do not matter
    y = 3 + (x[:, 0] - 5) + 0.1 * generator.normal(size=90)
    x[4, 1] = np.nan
    contents = np.arange(90)
    tested = cross_validate(name, x, y, contents, draw_folds(y, contents, 3, 1, 0))
    assert srocc(tested.predictions[0], y) > 0.9
    assert abs(tested.predictions[0].mean() - y.mean()) < 0.2


@pytest.mark.parametrize("name", REGRESSORS)
def test_nothing_leaks_from_one_version_of_a_content_to_another(name: str) -> None:
    """Each content has three versions, features that tell contents apart, and a score without any reason."""
    generator = np.random.default_rng(2)
    contents = np.repeat(np.arange(40), 3)
    x = generator.normal(size=(40, 4))[contents] + 0.001 * generator.normal(size=(120, 4))
    y = generator.normal(size=40)[contents]
    apart = cross_validate(name, x, y, contents, draw_folds(y, contents, 4, 1, 0))
    mixed = cross_validate(name, x, y, np.arange(120), draw_folds(y, np.arange(120), 4, 1, 0))
    if name != "ridge":  # a line cannot learn contents by heart
        assert srocc(mixed.relative[0], y) > 0.5
    assert srocc(apart.relative[0], y) < 0.4


def test_settings_are_chosen_and_gaps_filled_by_training_clips_alone() -> None:
    """What the tested clips hold changes no prediction for other clips: here the first fold's scores are other ones."""
    generator = np.random.default_rng(3)
    x, contents = generator.normal(size=(60, 2)), np.arange(60)
    y = x[:, 0] + generator.normal(size=60)
    folds = draw_folds(y, contents, 3, 1, 0)
    own = folds[0] == 0
    first = cross_validate("ridge", x, y, contents, folds).predictions[0]
    changed = np.where(own, generator.permutation(y) * 9, y)
    second = cross_validate("ridge", x, changed, contents, folds).predictions[0]
    np.testing.assert_array_equal(first[own], second[own])
    assert (first[~own] != second[~own]).all()


def test_a_regressor_that_knows_nothing_is_not_correlated_negatively() -> None:
    """The mean of the clips that train is low where those that are tested are good."""
    generator = np.random.default_rng(4)
    naive, relative = [], []
    for _ in range(20):
        x, y, contents = generator.normal(size=(40, 1)), generator.normal(size=40), np.arange(40)
        folds = (generator.permutation(40) % 4)[None]  # scores are not spread alike, as where contents are few
        tested = cross_validate("ridge", x, y, contents, folds)
        naive.append(srocc(tested.predictions[0], y))
        relative.append(srocc(tested.relative[0], y))
    assert np.mean(naive) < -0.15
    assert abs(np.mean(relative)) < 0.1


def test_folds_that_share_clips_are_no_independent_numbers() -> None:
    """Without the correction it is the t-test of scipy; with it, p is larger."""
    differences = np.random.default_rng(5).normal(0.3, 1, 25)
    plain = stats.ttest_1samp(differences, 0).pvalue
    assert corrected_t_test(differences, 0.0) == pytest.approx(plain, abs=1e-12)
    variance = (1 / 25 + 0.25) * differences.var(ddof=1)
    expected = 2 * stats.t.sf(abs(differences.mean()) / np.sqrt(variance), 24)
    assert corrected_t_test(differences, 0.25) == pytest.approx(expected, abs=1e-12)
    assert corrected_t_test(np.zeros(5), 0.25) == 1.0
    assert np.isnan(corrected_t_test(np.array([1.0]), 0.25))


def test_p_is_adjusted_after_holm() -> None:
    assert adjust([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert adjust([0.5, 0.9]) == [1.0, 1.0]
    assert adjust([np.nan, 0.02])[1] == 0.04
