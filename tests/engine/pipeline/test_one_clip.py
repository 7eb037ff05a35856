"""One clip, here and now: what a run says of it, with its frames and maps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from saliency_engine.config import RunConfig
from saliency_engine.errors import DecodeError, MissingSourceError
from saliency_engine.numerics.aggregate import summarize
from saliency_engine.pipeline.engine import Engine
from saliency_engine.pipeline.one_clip import model_clip
from saliency_engine.storage.locate import Locator
from saliency_engine.types import ClipReference, decode_spec
from saliency_engine.video.decode import decode_frames


def test_one_clip_has_the_numbers_of_a_run(clips: dict[str, Path]) -> None:
    config = RunConfig(model="frequency_tuned_v1", frame_samples=5, memo="off", temporal_aggregator="motion-weighted")
    with Engine(config) as engine:
        (batch,) = engine.process([pa.record_batch({"src": [str(clips["bikes"])]})])
        clip = model_clip(ClipReference(str(clips["bikes"])), engine.session, config)
        session = engine.session
    (row,) = batch.to_pylist()
    assert summarize(clip.statistics, "motion-weighted", 0.6) == (row["saliency_mean"], row["saliency_var"])
    assert clip.frames.shape == decode_spec(config, session.width, session.height).shape
    assert clip.maps.shape == (5, session.map_height, session.map_width)
    np.testing.assert_allclose(clip.maps.mean(axis=(1, 2)), clip.statistics.means, rtol=1e-5)


def test_a_clip_that_fails_says_why(tmp_path: Path, clips: dict[str, Path]) -> None:
    config = RunConfig(model="frequency_tuned_v1", memo="off")
    (tmp_path / "cut.mp4").write_bytes(clips["bikes"].read_bytes()[:10_000])
    with Engine(config) as engine:
        with pytest.raises(MissingSourceError):
            model_clip(ClipReference(str(tmp_path / "absent.mp4")), engine.session, config)
        with pytest.raises(DecodeError):
            model_clip(ClipReference(str(tmp_path / "cut.mp4")), engine.session, config)


def test_frames_without_a_model(clips: dict[str, Path]) -> None:
    config = RunConfig(model="frequency_tuned_v1", frame_samples=200, max_frames=200, accept_short=True)
    request = Locator(config).locate(ClipReference(str(clips["bigbuckbunny"])))
    frames, decoded = decode_frames(request, decode_spec(config, 32, 18))
    assert frames.shape == (132, 3, 18, 32)
    assert decoded.frames == 132
    assert frames.reshape(132, -1).std(axis=1).min() > 0  # none of them is left black
