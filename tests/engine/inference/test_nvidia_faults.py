"""What is done about a card that fails: at the start, when its graph is captured, without memory, and at work."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from tests.engine.inference.miniatures import draw_frames, make_convolution, maps_of, model_of, session_of
from tests.engine.inference.stand_in_card import StandIn

from saliency_engine.config import RunConfig
from saliency_engine.errors import InferenceError, ModelError, ProviderError
from saliency_engine.inference.nvidia import CUDA, Gpu
from saliency_engine.inference.session import Session
from saliency_engine.pipeline.engine import Engine
from saliency_engine.types import ClipReference, row_batch_of


def test_a_graph_that_cannot_be_captured_runs_without_and_says_so(card: type[StandIn]) -> None:
    card.capture = False
    session = Session(model_of(make_convolution()), provider="cuda", threads=1, batch_size=4, model_size=(48, 32))
    reason = "cannot load the model miniature.onnx: This session"
    assert session.remark.startswith(f"4 frames a call, no CUDA graphs ({reason}")
    assert [dict(providers)[CUDA]["enable_cuda_graph"] for providers in card.asked] == ["0", "1", "0"]
    frames = draw_frames(4)
    np.testing.assert_allclose(
        maps_of(session, frames), maps_of(session_of(model_of(make_convolution())), frames), atol=1e-5
    )


def test_a_graph_that_replays_what_it_has_seen_before_is_not_used(card: type[StandIn]) -> None:
    card.stale = True
    session = Session(model_of(make_convolution()), provider="cuda", threads=1, batch_size=4, model_size=(48, 32))
    assert session.remark == "4 frames a call, no CUDA graphs (a replayed CUDA graph gave other maps than a plain run)"
    frames = draw_frames(4)
    np.testing.assert_allclose(
        maps_of(session, frames), maps_of(session_of(model_of(make_convolution())), frames), atol=1e-5
    )


def test_bound_buffers_that_no_run_writes_to_are_an_error_without_graphs_too(card: type[StandIn]) -> None:
    card.capture, card.idle = False, True
    with pytest.raises(ModelError, match="a run on bound buffers gave other maps than a plain run"):
        Session(model_of(make_convolution()), provider="cuda", threads=1, batch_size=4, model_size=(48, 32))


def test_a_provider_that_takes_no_operator_is_an_error(card: type[StandIn]) -> None:
    backend = Gpu(model_of(make_convolution()), "cuda", graphs=False)
    card.takes_operators = False
    with pytest.raises(ProviderError, match="takes none of the operators"):
        backend.compile((4, 3, 32, 48), 2)


def test_a_card_without_cudnn_does_not_start(card: type[StandIn]) -> None:
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
    card: type[StandIn], monkeypatch: pytest.MonkeyPatch, what: str
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


def test_an_error_that_the_card_does_not_survive_ends_the_run(card: type[StandIn]) -> None:
    session = Session(model_of(make_convolution()), provider="cuda", threads=1, batch_size=4, model_size=(48, 32))
    card.failure = _fail("CUDNN failure 5000: CUDNN_STATUS_EXECUTION_FAILED")
    with pytest.raises(InferenceError, match=r"^CUDNN failure 5000: CUDNN_STATUS_EXECUTION_FAILED$"):
        maps_of(session, draw_frames(4))
    card.failure = _fail("CUDA failure 700: an illegal memory access was encountered")
    with pytest.raises(ProviderError, match="the card cannot go on after an error: CUDA failure 700: an illegal"):
        maps_of(session, draw_frames(4))


def test_a_row_is_not_failed_by_a_card_that_cannot_go_on(
    card: type[StandIn], tmp_path: Path, clips: dict[str, Path]
) -> None:
    (tmp_path / "model.onnx").write_bytes(make_convolution().SerializeToString())
    config = RunConfig(model_path=str(tmp_path / "model.onnx"), provider="cuda", memo="off", decode_workers=1)
    with Engine(config) as engine:
        row = row_batch_of([ClipReference(str(clips["carphone_pristine"]))])
        card.failure = _fail("CUDA failure 719: unspecified launch failure")
        with pytest.raises(ProviderError, match="CUDA failure 719"):
            list(engine.results([row]))
