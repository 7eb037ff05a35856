"""What is asked of the providers of cards: their options, by the model's precision."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from onnx import ModelProto
from tests.engine.inference.miniatures import draw_frames, make_convolution, make_half, maps_of, model_of, session_of
from tests.engine.inference.stand_in_card import StandIn

from saliency_engine.errors import ProviderError
from saliency_engine.inference import nvidia
from saliency_engine.inference.nvidia import CUDA, TENSORRT, Gpu
from saliency_engine.inference.session import Session


def test_cuda_computes_in_full_float32_without_timing_anything(card: type[StandIn]) -> None:
    session = Session(model_of(make_convolution()), provider="cuda", threads=1, batch_size=4, model_size=(48, 32))
    assert (session.provider, session.frames_per_call, session.remark) == (CUDA, 4, "4 frames a call, CUDA graphs")
    starting, running = card.asked
    assert starting == [(CUDA, {**dict(starting)[CUDA], "enable_cuda_graph": "0"})]
    options = dict(running)[CUDA]
    assert (options["use_tf32"], options["enable_cuda_graph"]) == ("0", "1")
    assert options["cudnn_conv_algo_search"] == "HEURISTIC"
    assert os.environ["NVIDIA_TF32_OVERRIDE"] == "0"


def test_half_precision_has_tensor_cores(card: type[StandIn]) -> None:
    """``use_tf32`` deselects them for every precision."""
    Session(model_of(make_half()), provider="cuda", threads=1, batch_size=4, model_size=(48, 32))
    assert [dict(providers)[CUDA]["use_tf32"] for providers in card.asked] == ["1", "1"]


_LAYOUT = ("prefer_nhwc", "fuse_conv_bias")


@pytest.mark.parametrize(
    ("made", "wanted"), [(make_half(), ("1", None)), (make_convolution(), (None, None))], ids=["float16", "float32"]
)
def test_only_half_precision_has_channels_last_and_none_has_fused_biases(
    card: type[StandIn], made: ModelProto, wanted: tuple[str | None, ...]
) -> None:
    """Float32 is slower so; and a fused bias with channels first gives wrong maps."""
    Session(model_of(made), provider="cuda", threads=1, batch_size=4, model_size=(48, 32))
    asked = [dict(providers)[CUDA] for providers in card.asked]
    assert [tuple(map(options.get, _LAYOUT)) for options in asked] == [wanted] * 2


def test_what_tensorrt_leaves_to_cuda_has_cudas_own_layout() -> None:
    asked = nvidia.providers(model_of(make_half()), "tensorrt", (), graphs=False)
    assert asked[CUDA].keys().isdisjoint(_LAYOUT)


def test_a_measurement_can_undo_the_layout_of_half_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    """As ``bench/gpu.py`` does."""
    monkeypatch.setattr(nvidia, "CUDA_OPTIONS", {**nvidia.CUDA_OPTIONS, **dict.fromkeys(_LAYOUT, "0")})
    options = nvidia.providers(model_of(make_half()), "cuda", (), graphs=False)[CUDA]
    assert [options[name] for name in _LAYOUT] == ["0", "0"]


@pytest.mark.parametrize(("made", "half"), [(make_convolution(), "0"), (make_half(), "1")], ids=["float32", "float16"])
def test_tensorrt_takes_the_models_own_precision_and_keeps_engines_by_model_shape_and_version(
    card: type[StandIn], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, made: ModelProto, half: str
) -> None:
    monkeypatch.setattr(nvidia, "_tensorrt_version", lambda: "101303")
    session = Session(model_of(made), provider="tensorrt", threads=1, batch_size=4, model_size=(48, 32))
    assert session.provider == TENSORRT
    assert os.environ["NVIDIA_TF32_OVERRIDE"] == "0"
    (first, options), (second, _) = card.asked[-1]
    assert (first, second, options["trt_fp16_enable"]) == (TENSORRT, CUDA, half)
    assert options["trt_engine_cache_path"] == options["trt_timing_cache_path"]
    folder = Path(options["trt_engine_cache_path"])
    assert folder.is_dir()
    assert folder.relative_to(tmp_path / "saliency-batch" / "tensorrt").parts == (
        f"onnxruntime-{onnxruntime.__version__}-tensorrt-101303",
        "00",
        "4x3x32x48",
    )
    assert "trt_engine_cache_path" not in dict(card.asked[0])[TENSORRT]  # of the graph that is tried
    frames = draw_frames(4)
    np.testing.assert_allclose(maps_of(session, frames), maps_of(session_of(model_of(made)), frames), atol=1e-5)


def test_other_precisions_are_refused() -> None:
    with pytest.raises(ProviderError, match="bfloat16 does not run with --provider cuda: give --provider openvino"):
        Gpu(model_of(make_convolution()), "cuda", "bfloat16")
