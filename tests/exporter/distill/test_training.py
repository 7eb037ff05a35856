"""What a student is when its training has ended."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed (extra: export)")


def test_a_student_takes_frames_for_what_they_are_and_not_for_disturbed_crops(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its normalisations expect the whole frames, so that it gives in use what it gives of all of them at once."""
    from saliency_exporter.distill import training
    from saliency_exporter.distill.augment import normalize
    from saliency_exporter.distill.beginning import Nothing

    rng = np.random.default_rng(3)
    frames = np.repeat(np.repeat(rng.integers(0, 256, (8, 3, 8, 8), dtype=np.uint8), 8, axis=2), 8, axis=3)
    maps = (frames[:, 0] > 127).astype(np.float16)
    monkeypatch.setattr(training, "BATCH", len(frames))
    lesson = training.Lesson(frames, maps, np.arange(8), None, np.arange(8), seed=1, minutes=None, steps=4)
    trained = training.Training(lesson, Nothing())
    states: list[dict[str, Any]] = []
    reports: list[object] = []
    trained.run(lambda state: states.append(copy.deepcopy(state)), lambda: 0.0, reports.append)
    assert len(reports) == 4
    in_use = trained.predict(frames)
    together = trained.student.train()
    with torch.no_grad():
        logits = together(normalize(torch.from_numpy(frames / np.float32(255))))[0]
    at_once = logits.sigmoid()[:, 0].numpy()
    assert at_once.std() > 0.01
    assert np.abs(in_use - at_once).mean() < 0.25 * at_once.std()  # about 1 with those that were kept meanwhile
    again = training.Training(lesson, Nothing())
    again.take_up(states[-1])
    np.testing.assert_array_equal(again.predict(frames), in_use)


def test_a_last_frame_that_is_alone_is_no_hindrance() -> None:
    """Of a frame of 32×32 the smallest stage has one value a channel, and torch refuses to normalise one value."""
    from saliency_exporter.distill import training
    from saliency_exporter.distill.beginning import Nothing

    count = training.BATCH + 1
    frames = np.random.default_rng(3).integers(0, 256, (count, 3, 32, 32), dtype=np.uint8)
    maps = (frames[:, 0] > 127).astype(np.float16)
    lesson = training.Lesson(frames, maps, np.arange(count), None, np.arange(count), seed=1, minutes=None, steps=1)
    trained = training.Training(lesson, Nothing())
    trained.run(lambda _state: None, lambda: 0.0, lambda _progress: None)
    assert np.isfinite(trained.predict(frames)).all()
