"""What tests of cards share."""

from __future__ import annotations

from pathlib import Path

import onnxruntime
import pytest
from tests.engine.inference.stand_in_card import StandIn

from saliency_engine.inference import nvidia, session
from saliency_engine.inference.io_binding import MainMemory


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> type[StandIn]:
    """A machine that seems to have a card, as far as sessions go; see ``StandIn``."""
    StandIn.asked, StandIn.capture, StandIn.stale, StandIn.takes_operators = [], True, False, True
    StandIn.idle, StandIn.failure = False, ""
    for module in (nvidia, session):
        monkeypatch.setattr(module, "has_nvidia_driver", lambda: True)
    monkeypatch.setattr(onnxruntime, "InferenceSession", StandIn)
    monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: None)
    monkeypatch.setattr(nvidia, "CudaMemory", MainMemory)
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return StandIn
