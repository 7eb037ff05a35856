"""The figures of a student, from maps that are known."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch", reason="torch is not installed (extra: export)")

from saliency_exporter.distill.judge import judge
from saliency_exporter.distill.pictures import Corpus, Source


def test_frames_in_which_the_teacher_finds_nothing_are_counted_apart() -> None:
    rng = np.random.default_rng(0)
    sources = tuple(Source(f"{at}.png", f"{at}", f"{at}", range(at, at + 1), is_held_out=True) for at in range(4))
    corpus = Corpus(np.zeros((4, 3, 8, 8), np.uint8), sources, ())
    teacher = rng.random((4, 8, 8)).astype(np.float32)
    teacher[2:] *= 0.02  # a mean of 0.01
    student = teacher.copy()
    student[2:] = -teacher[2:]  # the opposite of what is noise
    student[1] = rng.random((8, 8))
    figures = judge(corpus, teacher, student, [0, 1, 2, 3])
    half = np.corrcoef(teacher[1].ravel(), student[1].ravel())[0, 1]
    assert figures["correlation"] == pytest.approx((1 + half - 2) / 4)
    salient = {"frames": 2, "correlation": (1 + half) / 2, "median_correlation": (1 + half) / 2}
    assert figures["with_salient"] == pytest.approx(salient)
    nothing = judge(corpus, teacher * np.float32(0.01), student, [0, 1, 2, 3])["with_salient"]
    assert nothing["frames"] == 0
    assert np.isnan(nothing["correlation"])
