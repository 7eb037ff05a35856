"""Kernels and the algebra against the plain numpy reading of the formulas."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.conftest import PROJECT

from saliency_engine.config import AGGREGATORS
from saliency_engine.errors import InferenceError
from saliency_engine.numerics import reference
from saliency_engine.numerics.aggregate import combine, measure, summarize, weights


def _clip(
    frames: int, shape: tuple[int, int] = (37, 61), seed: int = 0
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    generator = np.random.default_rng(seed)
    maps = generator.random((frames, *shape), dtype=np.float32) ** 3
    motion = generator.random(frames) * 0.05
    motion[0] = 0.0
    return maps, motion


@pytest.mark.parametrize("aggregator", AGGREGATORS)
@pytest.mark.parametrize("frames", [1, 2, 3, 8, 21])
@pytest.mark.parametrize("alpha", [0.1, 0.6, 1.0])
def test_kernel_and_algebra_agree_with_the_plain_reading(aggregator: str, frames: int, alpha: float) -> None:
    maps, motion = _clip(frames)
    expected_map, expected_mean, expected_var = reference.aggregate(maps, motion, aggregator, alpha)

    out = np.empty(maps.shape[1:], np.float32)
    combine(maps, motion, aggregator, alpha, out)
    mean, var = summarize(measure(maps, motion), aggregator, alpha)

    np.testing.assert_allclose(out, expected_map, atol=1e-6)
    assert mean == pytest.approx(expected_mean, abs=1e-6)
    assert var == pytest.approx(expected_var, abs=1e-6)


def test_every_documented_aggregator_has_a_plain_reading() -> None:
    assert tuple(reference.AGGREGATORS) == AGGREGATORS


def test_the_engine_uses_nothing_of_the_plain_reading() -> None:
    modules = (PROJECT / "engine").rglob("*.py")
    assert not [
        path.name
        for path in modules
        if "reference import" in path.read_text() or "import reference" in path.read_text()
    ]


def test_pixels_beyond_one_scratch_block_are_counted() -> None:
    maps, motion = _clip(3, (320, 320))
    _, mean, var = reference.aggregate(maps, motion, "max", 0.6)
    assert summarize(measure(maps, motion), "max", 0.6) == pytest.approx((mean, var), abs=1e-9)


def test_still_clip_has_the_variance_of_its_frame() -> None:
    frame, _ = _clip(1)
    maps = np.repeat(frame, 8, axis=0)
    for aggregator in AGGREGATORS:
        mean, var = summarize(measure(maps, np.zeros(8)), aggregator, 0.6)
        assert mean == pytest.approx(frame.mean(dtype=np.float64), abs=1e-9)
        assert var == pytest.approx(frame.var(dtype=np.float64), abs=1e-9)


def test_constant_maps_never_give_a_negative_variance() -> None:
    for value in (0.0, 0.1, 1 / 3, 1.0):
        maps = np.full((8, 50, 50), value, np.float32)
        for aggregator in AGGREGATORS:
            _, var = summarize(measure(maps, np.full(8, 0.01)), aggregator, 0.6)
            assert 0.0 <= var < 1e-12


def test_first_frame_drowns_the_others_only_in_motion_weighted() -> None:
    motion = np.array([0.0, 0.02, 0.02, 0.02])
    assert weights("motion-weighted", 0.6, motion)[0] > 0.9
    np.testing.assert_allclose(weights("motion-balanced", 0.6, motion), 0.25)


@pytest.mark.parametrize("aggregator", [name for name in AGGREGATORS if name != "max"])
def test_weights_sum_to_one(aggregator: str) -> None:
    _, motion = _clip(9)
    assert weights(aggregator, 0.3, motion).sum() == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize(
    ("poison", "reason"),
    [(np.nan, "NaN"), (np.inf, "infinite"), (-np.inf, "infinite"), (1.5, "outside"), (-0.2, "outside")],
)
def test_poisoned_maps_are_refused_with_the_reason(poison: float, reason: str) -> None:
    maps, motion = _clip(4)
    maps[2, 36, 60] = poison
    with pytest.raises(InferenceError, match=reason):
        measure(maps, motion)


def test_rounding_beyond_one_is_clipped() -> None:
    maps = np.full((2, 10, 10), 1.0005, np.float32)
    assert summarize(measure(maps, np.zeros(2)), "mean", 0.6) == (1.0, 0.0)
