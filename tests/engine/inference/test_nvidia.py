"""The path of the graphics cards, as far as a processor can walk it: what is asked of the providers."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from onnx import ModelProto
from tests.engine.inference.miniatures import (
    draw_frames,
    make_convolution,
    make_half,
    maps_of,
    model_of,
    session_of,
)

from saliency_engine.config import RunConfig
from saliency_engine.errors import InferenceError, ModelError, ProviderError
from saliency_engine.inference import nvidia, session
from saliency_engine.inference.io_binding import MainMemory
from saliency_engine.inference.nvidia import CUDA, TENSORRT, Gpu
from saliency_engine.inference.session import Session
from saliency_engine.pipeline.engine import Engine
from saliency_engine.types import ClipReference, row_batch_of


class _StandIn(onnxruntime.InferenceSession):  # type: ignore[misc]
    """Notes what is asked of a provider, and runs on the CPU."""

    asked: list[list[tuple[str, dict[str, str]]]]
    capture: bool
    stale: bool
    """A graph that has been captured gives what it gave then."""
    idle: bool
    """Bound buffers are never written to."""
    takes_operators: bool
    failure: str
    """With what runs on bound buffers fail; empty where they do not."""

    def __init__(self, data: bytes, options: Any, providers: Any, **settings: Any) -> None:
        self.wanted, self.captured = [name for name, _ in providers], set[str]()
        if self.wanted != ["CPUExecutionProvider"]:
            self.asked.append(providers)
            if providers[-1][1]["enable_cuda_graph"] == "1" and not self.capture:
                raise RuntimeError("This session cannot use the graph capture feature")
        super().__init__(data, options, providers=["CPUExecutionProvider"], **settings)

    def run_with_iobinding(self, binding: Any, options: Any = None) -> None:
        graph = options.get_run_config_entry("gpu_graph_id")
        if self.failure:
            raise RuntimeError(self.failure)
        if not self.idle and not (self.stale and graph in self.captured):
            super().run_with_iobinding(binding, options)
        if graph != "-1":
            self.captured.add(graph)

    def get_providers(self) -> list[str]:
        return self.wanted

    def get_provider_graph_assignment_info(self) -> Any:
        class Part:
            ep_name = self.wanted[0] if self.takes_operators else "CPUExecutionProvider"

            @staticmethod
            def get_nodes() -> list[int]:
                return [0]

        return [Part, Part]


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> type[_StandIn]:
    """A machine that seems to have a card, as far as sessions go; see ``_StandIn``."""
    _StandIn.asked, _StandIn.capture, _StandIn.stale, _StandIn.takes_operators = [], True, False, True
    _StandIn.idle, _StandIn.failure = False, ""
    for module in (nvidia, session):
        monkeypatch.setattr(module, "has_nvidia_driver", lambda: True)
    monkeypatch.setattr(onnxruntime, "InferenceSession", _StandIn)
    monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: None)
    monkeypatch.setattr(nvidia, "CudaMemory", MainMemory)
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return _StandIn


def test_cuda_computes_in_full_float32_without_timing_anything(card: type[_StandIn]) -> None:
    session = Session(model_of(make_convolution()), provider="cuda", threads=1, batch_size=4, model_size=(48, 32))
    assert (session.provider, session.frames_per_call, session.remark) == (CUDA, 4, "4 frames a call, CUDA graphs")
    starting, running = card.asked
    assert starting == [(CUDA, {**dict(starting)[CUDA], "enable_cuda_graph": "0"})]
    options = dict(running)[CUDA]
    assert (options["use_tf32"], options["enable_cuda_graph"]) == ("0", "1")
    assert options["cudnn_conv_algo_search"] == "HEURISTIC"
    assert os.environ["NVIDIA_TF32_OVERRIDE"] == "0"


def test_half_precision_has_tensor_cores(card: type[_StandIn]) -> None:
    """``use_tf32`` deselects them for every precision."""
    Session(model_of(make_half()), provider="cuda", threads=1, batch_size=4, model_size=(48, 32))
    assert [dict(providers)[CUDA]["use_tf32"] for providers in card.asked] == ["1", "1"]


_LAYOUT = ("prefer_nhwc", "fuse_conv_bias")


@pytest.mark.parametrize(
    ("made", "wanted"), [(make_half(), ("1", None)), (make_convolution(), (None, None))], ids=["float16", "float32"]
)
def test_only_half_precision_has_channels_last_and_none_has_fused_biases(
    card: type[_StandIn], made: ModelProto, wanted: tuple[str | None, ...]
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


def test_a_graph_that_cannot_be_captured_runs_without_and_says_so(card: type[_StandIn]) -> None:
    card.capture = False
    session = Session(model_of(make_convolution()), provider="cuda", threads=1, batch_size=4, model_size=(48, 32))
    reason = "cannot load the model miniature.onnx: This session"
    assert session.remark.startswith(f"4 frames a call, no CUDA graphs ({reason}")
    assert [dict(providers)[CUDA]["enable_cuda_graph"] for providers in card.asked] == ["0", "1", "0"]
    frames = draw_frames(4)
    np.testing.assert_allclose(
        maps_of(session, frames), maps_of(session_of(model_of(make_convolution())), frames), atol=1e-5
    )


def test_a_graph_that_replays_what_it_has_seen_before_is_not_used(card: type[_StandIn]) -> None:
    card.stale = True
    session = Session(model_of(make_convolution()), provider="cuda", threads=1, batch_size=4, model_size=(48, 32))
    assert session.remark == "4 frames a call, no CUDA graphs (a replayed CUDA graph gave other maps than a plain run)"
    frames = draw_frames(4)
    np.testing.assert_allclose(
        maps_of(session, frames), maps_of(session_of(model_of(make_convolution())), frames), atol=1e-5
    )


def test_bound_buffers_that_no_run_writes_to_are_an_error_without_graphs_too(card: type[_StandIn]) -> None:
    card.capture, card.idle = False, True
    with pytest.raises(ModelError, match="a run on bound buffers gave other maps than a plain run"):
        Session(model_of(make_convolution()), provider="cuda", threads=1, batch_size=4, model_size=(48, 32))


def test_a_provider_that_takes_no_operator_is_an_error(card: type[_StandIn]) -> None:
    backend = Gpu(model_of(make_convolution()), "cuda", graphs=False)
    card.takes_operators = False
    with pytest.raises(ProviderError, match="takes none of the operators"):
        backend.compile((4, 3, 32, 48), 2)


def test_a_card_without_cudnn_does_not_start(card: type[_StandIn]) -> None:
    card.takes_operators = False
    with pytest.raises(ProviderError, match=r"it leaves convolutions to CPUExecutionProvider; cuDNN comes with pip"):
        Gpu(model_of(make_convolution()), "cuda")


def _fail(what: str) -> str:
    """What ONNX Runtime 1.31 says, by its format "%s failure %d: %s ; GPU=%d ; hostname=%s ; file=%s ; line=%d ; …"."""
    return (
        "[ONNXRuntimeError] : 1 : FAIL : Non-zero status code returned while running Conv node. Name:'stage1/conv' "
        "Status Message: /onnxruntime_src/onnxruntime/core/providers/cuda/cuda_call.cc:129 std::conditional_t<THRW, "
        f"void, onnxruntime::common::Status> onnxruntime::CudaCall(ERRTYPE) [with {'ERRTYPE = cudaError; ' * 30}"
        f"] {what} ; GPU=0 ; hostname=node7 ; file=/onnxruntime_src/a.cc ; line=280 ; expr=cudaMalloc((void**)&p); "
    )


@pytest.mark.parametrize(
    "what",
    [
        "CUDA failure 100: no CUDA-capable device is detected",
        "CUDNN failure 1001: CUDNN_STATUS_NOT_INITIALIZED",
        "CUDNN_FE failure 11: CUDNN_BACKEND_API_FAILED",
        "CUBLAS failure 3: the resource allocation failed",
    ],
)
def test_the_reason_is_found_behind_templates_and_the_machines_name_is_not_told(
    card: type[_StandIn], monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError(_fail(what))

    monkeypatch.setattr(card, "run", fail)
    with pytest.raises(ProviderError) as caught:
        Gpu(model_of(make_convolution()), "cuda")
    assert str(caught.value).startswith(f"--provider cuda cannot start: {what}. Its libraries come with pip install")


@pytest.mark.usefixtures("card")
def test_no_memory_for_buffers_is_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        @staticmethod
        def ortvalue_from_shape_and_type(*_: Any) -> None:
            raise RuntimeError(_fail("CUDA failure 2: out of memory"))

    monkeypatch.setattr(onnxruntime, "OrtValue", Full)
    reason = r"does not run at 48x32, 4 frames a call: no memory for buffers: CUDA failure 2: out of memory$"
    with pytest.raises(ModelError, match=reason):
        Session(model_of(make_convolution()), provider="cuda", threads=1, batch_size=4, model_size=(48, 32))
    fallen = Session(model_of(make_convolution()), provider="auto", threads=1, batch_size=4, model_size=(48, 32))
    assert fallen.provider in {"OpenVINO CPU", "CPUExecutionProvider"}
    card, *_ = fallen.remark.split("; ")  # where OpenVINO is not installed, that is said behind it
    assert card.endswith("no memory for buffers: CUDA failure 2: out of memory")


def test_an_error_that_the_card_does_not_survive_ends_the_run(card: type[_StandIn]) -> None:
    session = Session(model_of(make_convolution()), provider="cuda", threads=1, batch_size=4, model_size=(48, 32))
    card.failure = _fail("CUDNN failure 5000: CUDNN_STATUS_EXECUTION_FAILED")
    with pytest.raises(InferenceError, match=r"^CUDNN failure 5000: CUDNN_STATUS_EXECUTION_FAILED$"):
        maps_of(session, draw_frames(4))
    card.failure = _fail("CUDA failure 700: an illegal memory access was encountered")
    with pytest.raises(ProviderError, match="the card cannot go on after an error: CUDA failure 700: an illegal"):
        maps_of(session, draw_frames(4))


def test_a_row_is_not_failed_by_a_card_that_cannot_go_on(
    card: type[_StandIn], tmp_path: Path, clips: dict[str, Path]
) -> None:
    (tmp_path / "model.onnx").write_bytes(make_convolution().SerializeToString())
    config = RunConfig(model_path=str(tmp_path / "model.onnx"), provider="cuda", memo="off", decode_workers=1)
    with Engine(config) as engine:
        row = row_batch_of([ClipReference(str(clips["carphone_pristine"]))])
        card.failure = _fail("CUDA failure 719: unspecified launch failure")
        with pytest.raises(ProviderError, match="CUDA failure 719"):
            list(engine.results([row]))


@pytest.mark.parametrize(("made", "half"), [(make_convolution(), "0"), (make_half(), "1")], ids=["float32", "float16"])
def test_tensorrt_takes_the_models_own_precision_and_keeps_engines_by_model_shape_and_version(
    card: type[_StandIn], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, made: ModelProto, half: str
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
