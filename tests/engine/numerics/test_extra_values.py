"""From a clip's statistics to the numbers of ``--extra``."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from saliency_engine.extras import EXTRAS, Measured
from saliency_engine.numerics.extra_values import extra_values
from saliency_engine.types import ClipStatistics

MEANS = np.array([0.4, 0.1, 0.9, 0.3, 0.2])
MOTION = np.array([0.0, 0.01, 0.03, 0.02, 0.04])


def statistics(values: Mapping[str, float] | None = None, frames: int = 5) -> ClipStatistics:
    extras = Measured(values or {})
    return ClipStatistics(MEANS[:frames], MOTION[:frames], np.eye(frames), (0.5, 0.1), extras=extras)


def test_the_spread_is_that_of_the_frames_means() -> None:
    values = dict(extra_values(statistics(), ["spread"]))
    # Sorted: 0.1, 0.2, 0.3, 0.4, 0.9; the tenth part of the way from the first to the last is 0.4 steps.
    assert values == pytest.approx({"p10": 0.14, "p90": 0.7, "std": np.sqrt(((MEANS - MEANS.mean()) ** 2).mean())})


def test_the_difference_between_frames_is_their_motion_in_code_values() -> None:
    assert dict(extra_values(statistics({"y_avg": 100.0}), ["luma"])) == pytest.approx(
        {"y_avg": 100.0, "frame_diff_mean": 255 * 0.025}
    )


def test_one_frame_differs_from_none() -> None:
    values = dict(extra_values(statistics(frames=1), ["luma", "spread"]))
    assert values == {"frame_diff_mean": 0.0, "p10": 0.4, "p90": 0.4, "std": 0.0}


def test_what_was_not_asked_for_is_left_out() -> None:
    everything = dict.fromkeys((role for roles in EXTRAS.values() for role in roles), 0.5)
    values = extra_values(statistics(everything), ["shots", "texture"])
    assert [role for role, _ in values] == [*EXTRAS["texture"], *EXTRAS["shots"]]
