"""Made clips and pictures: always the same, and like clips enough to measure with."""

from __future__ import annotations

from pathlib import Path

import pytest

from saliency_engine.config import RunConfig
from saliency_engine.samplings import Head
from saliency_engine.storage.locate import Locator
from saliency_engine.types import DecodeSpec
from saliency_engine.video import synthetic
from saliency_engine.video.decode import decode_frames


def test_made_clips_move_and_are_not_flat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(synthetic, "_CLIPS", 2)
    spec = DecodeSpec(160, 90, Head(8, 8), "auto")
    made = synthetic.make_clips(tmp_path)
    assert len(made) == 2
    for clip in made:
        frames, decoded = decode_frames(Locator(RunConfig(model="frequency_tuned_v1")).locate(clip), spec)
        assert decoded.frames == 8
        assert min(decoded.motion[1:]) > 0.01
        assert frames.std() > 3000
