"""The frames that models are measured on."""

from __future__ import annotations

import numpy as np

from saliency_exporter.sample_frames import draw_extreme, draw_natural


def test_made_frames_are_many_distinct_and_the_same_every_time() -> None:
    natural, extreme = draw_natural(16, 32, 48), draw_extreme(32, 48)
    assert natural.shape == (16, 3, 32, 48)
    assert extreme.shape == (8, 3, 32, 48)
    assert len({frame.tobytes() for frame in (*natural, *extreme)}) == 24
    np.testing.assert_array_equal(natural, draw_natural(16, 32, 48))
    np.testing.assert_array_equal(extreme, draw_extreme(32, 48))
    rgb = np.concatenate([natural, extreme]) * np.reshape((0.229, 0.224, 0.225), (3, 1, 1))
    rgb += np.reshape((0.485, 0.456, 0.406), (3, 1, 1))
    assert rgb.min() >= -1e-6
    assert rgb.max() <= 1 + 1e-6
