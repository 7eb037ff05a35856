"""Folds that part no content and spread the scores."""

from __future__ import annotations

import numpy as np
import pytest

from saliency_engine.errors import ConfigError
from saliency_engine.numerics.splits import split_by_name, split_in_folds


@pytest.mark.parametrize("contents", [200, 60], ids=["alone", "in groups"])
def test_folds_part_no_content_and_spread_the_scores(contents: int) -> None:
    generator = np.random.default_rng(3)
    groups = np.arange(200) % contents
    scores = generator.normal(3, 1, 200)
    folds = split_in_folds(scores, groups, 5, seed=1)
    assert all(len(set(folds[groups == group])) == 1 for group in range(contents))
    assert np.bincount(folds).min() >= 30
    assert np.ptp([scores[folds == fold].mean() for fold in range(5)]) < 0.5
    np.testing.assert_array_equal(folds, split_in_folds(scores, groups, 5, seed=1))
    assert (folds != split_in_folds(scores, groups, 5, seed=2)).any()


def test_equal_scores_are_divided_as_well() -> None:
    assert np.bincount(split_in_folds(np.ones(20), np.arange(20), 4, 0)).tolist() == [5] * 4


def test_more_folds_than_contents() -> None:
    with pytest.raises(ConfigError, match="5 folds need at least as many contents, but there are 4"):
        split_in_folds(np.arange(8.0), np.arange(8) % 4, 5, 0)


def test_names_are_divided_eight_to_one_to_one() -> None:
    splits = [split_by_name(f"content {number}") for number in range(4000)]
    shares = [splits.count(name) / 4000 for name in ("train", "val", "test")]
    np.testing.assert_allclose(shares, [0.8, 0.1, 0.1], atol=0.02)
