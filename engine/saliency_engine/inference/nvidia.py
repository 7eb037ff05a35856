"""NVIDIA cards: ONNX Runtime with CUDA or TensorRT, input and output bound to the card's memory.

Written from the documentation of ONNX Runtime 1.31. CUDA was run on one card, TensorRT on none (docs/performance.md).
https://onnxruntime.ai/docs/execution-providers/CUDA-ExecutionProvider.html
https://onnxruntime.ai/docs/execution-providers/TensorRT-ExecutionProvider.html
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import io
import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnxruntime

from saliency_engine.errors import InferenceError, ModelError, ProviderError
from saliency_engine.inference.backend import check_ports, shorten_message
from saliency_engine.inference.cuda_memory import CudaMemory
from saliency_engine.inference.io_binding import BoundSession, MainMemory, Memory
from saliency_engine.inference.onnx_runtime import CPU, count_operators, create_session, read_ports, refuse_precision
from saliency_engine.machine import has_nvidia_driver, onnxruntime_package
from saliency_engine.models.graph import edit
from saliency_engine.models.graph.framewise import frames_apart
from saliency_engine.models.load import Model
from saliency_engine.storage.cache import cache_home

CUDA, TENSORRT = "CUDAExecutionProvider", "TensorrtExecutionProvider"
CUDA_OPTIONS: Mapping[str, str] = {
    # EXHAUSTIVE, the default, would time the plans of every convolution where cuDNN's frontend is not used. That is
    # slow, and a resumed run might choose other ones.
    "cudnn_conv_algo_search": "HEURISTIC",
    "arena_extend_strategy": "kSameAsRequested",
}
# Channels last. On an H200 student v2 in half precision makes 7,310 frames a second so, 32 a call, and 5,660 without,
# and is as near to the CPU's maps. Not for float32: saliency_open_v1 has 0.91 of its rate. Convolutions that add their
# biases (fuse_conv_bias) would make 9,230, as near again. Where one has channels first, ONNX Runtime 1.31 then gives
# WRONG maps in float32, whose means are off by 0.25 to 0.49, and nothing would show it.
_HALF_PRECISION_OPTIONS: Mapping[str, str] = {"prefer_nhwc": "1"}
# NVIDIA's libraries read this from the environment when they load. TensorRT has no option here, and where cuDNN finds
# no plan without tensor cores, CUDA's option alone would let it take one in TF32 in silence. On an H200 either of the
# two kept TF32 out, and the override moved nothing in half precision.
LIBRARY_SETTINGS: Mapping[str, str] = {"NVIDIA_TF32_OVERRIDE": "0"}
_DRIVER = 580  # the first of CUDA 13
_PROVIDERS = {"cuda": CUDA, "tensorrt": TENSORRT, "cpu": CPU}


class Gpu:
    """The backend for ``--provider cuda`` and ``tensorrt``. Raises ``ModelError``, ``ProviderError``.

    ``provider`` may also be ``cpu``: the same on ONNX Runtime's CPU provider, for tests and dry runs. The two flags are
    for measuring. ``uint16``: frames cross in 16 bits and are normalised on the card (CUDA). ``graphs``: CUDA graphs
    are used where they can be captured (CUDA).
    """

    prefers_batches = True

    def __init__(
        self,
        model: Model,
        provider: str,
        precision: str = "float32",
        *,
        uint16: bool = True,
        graphs: bool = True,
    ) -> None:
        refuse_precision(precision, provider)
        self._model, self._wanted, self.provider = model, provider, _PROVIDERS[provider]
        # TensorRT has no 16-bit integers, and may normalise in half precision, which has no number for white (65535).
        self._uint16, self._graphs = uint16 and provider != "tensorrt", graphs and provider == "cuda"
        inputs, outputs = read_ports(create_session(model, model.data, {CPU: {}}, {}, 1))
        check_ports(inputs, outputs, model.source)
        self.input_shape = inputs[0].shape
        if self.input_shape[0] == 1 and frames_apart(model.data):
            self.input_shape = (None, *self.input_shape[1:])
        if provider != "cpu":
            self._check_start(_preload(provider))
        self._memory: Memory = MainMemory() if provider == "cpu" else CudaMemory()

    def compile(self, shape: tuple[int, int, int, int], calls_at_once: int) -> BoundSession:
        """See ``Backend``."""
        remarks = [f"{shape[0]} frames a call"]
        if self._graphs:
            try:
                return self._bind(shape, calls_at_once, [*remarks, "CUDA graphs"], graphs=True)
            except (ModelError, InferenceError) as error:
                remarks.append(f"no CUDA graphs ({error})")
        try:
            return self._bind(shape, calls_at_once, remarks, graphs=False)
        except InferenceError as error:
            raise ModelError(str(error)) from error

    def _bind(
        self, shape: tuple[int, int, int, int], calls_at_once: int, remarks: Sequence[str], *, graphs: bool
    ) -> BoundSession:
        data = edit.with_input(self._model.data, shape, uint16=self._uint16)
        session = create_session(self._model, data, providers(self._model, self._wanted, shape, graphs=graphs), {}, 1)
        operators = count_operators(session)
        if not operators.get(self.provider):
            raise ProviderError(
                f"{self.provider} takes none of the operators of {self._model.source}: give another --provider"
            )
        elsewhere = [f"{count} operators on {name}" for name, count in operators.items() if name != self.provider]
        remark = ", ".join([*remarks, *elsewhere])
        return BoundSession(session, self._memory, shape, calls_at_once, graphs=graphs, remark=remark)

    def _check_start(self, problem: str) -> None:
        """Raise ``ProviderError`` unless the provider runs a convolution, for which alone cuDNN is needed.

        It is tried on the smallest of graphs, because TensorRT compiles real ones for minutes. ``problem`` is what
        ``_preload`` reported.
        """
        try:
            wanted = providers(self._model, self._wanted, (), graphs=False)
            session = create_session(self._model, edit.smallest_model(), wanted, {}, 1)
            session.run(None, {"x": np.ones((1, 1, 1, 1), np.float32)})
        except Exception as error:  # onnxruntime's errors share no base class but Exception
            reason = shorten_message(error.__cause__ or error)
            raise ProviderError(
                f"--provider {self._wanted} cannot start: {reason}{f' ({problem})' if problem else ''}. Its libraries "
                f"come with pip install 'saliency-batch[{self._wanted}]'; NVIDIA's driver must be {_DRIVER} or newer"
            ) from error
        if elsewhere := count_operators(session).keys() - {self.provider}:
            raise ProviderError(
                f"--provider {self._wanted} cannot start: it leaves convolutions to {', '.join(elsewhere)}; cuDNN "
                f"comes with pip install 'saliency-batch[{self._wanted}]'"
            )


def providers(model: Model, provider: str, shape: Sequence[int], *, graphs: bool) -> dict[str, dict[str, str]]:
    """ONNX Runtime's names and options for our ``provider``, best first: CUDA runs what TensorRT does not take.

    ``shape`` is that of the input; an empty one is for a graph that is tried once, of which TensorRT keeps nothing.
    """
    if provider == "cpu":
        return {CPU: {}}
    in_half = edit.in_half_precision(model.data)
    half, options = str(int(in_half)), CUDA_OPTIONS
    if in_half and provider == "cuda":  # nothing is known of what TensorRT leaves to CUDA
        options = {**_HALF_PRECISION_OPTIONS, **CUDA_OPTIONS}
    # TF32, with 10 bits of mantissa, is the default on cards that have it. A table tagged with a float32 model must
    # hold that model's numbers. "0" also deselects tensor cores for half precision, of which they are the point.
    cuda = {CUDA: {"use_tf32": half, **options, "enable_cuda_graph": str(int(graphs))}}
    return cuda if provider == "cuda" else {TENSORRT: _tensorrt_options(model, shape, half), **cuda}


def _tensorrt_options(model: Model, shape: Sequence[int], half: str) -> dict[str, str]:
    options = {"trt_fp16_enable": half}
    folder = _engine_folder(model, shape)
    if folder is not None:
        options |= {"trt_engine_cache_enable": "1", "trt_engine_cache_path": str(folder)}
        options |= {"trt_timing_cache_enable": "1", "trt_timing_cache_path": str(folder)}
    return options


def _engine_folder(model: Model, shape: Sequence[int]) -> Path | None:
    """The folder for compiled engines; ``None`` where nothing is kept: no home, no ``shape``, no TensorRT's version.

    Each model, shape and version has its own, because the file names tell graphs apart, but not their weights, nor how
    many frames they take, nor who compiled them.
    """
    version = _tensorrt_version()
    if not shape or not version:
        return None
    cache = cache_home()
    if cache is None:
        return None
    versions = f"onnxruntime-{onnxruntime.__version__}-tensorrt-{version}"
    folder = cache / "tensorrt" / versions / model.sha256 / "x".join(map(str, shape))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _tensorrt_version() -> str:
    """That of the library that ONNX Runtime loads, such as ``101303``; empty where there is none."""
    try:
        return str(ctypes.CDLL("libnvinfer.so.10").getInferLibVersion())
    except (OSError, AttributeError):
        return ""


def _preload(wanted: str) -> str:
    """Load the provider's libraries. Returns what ONNX Runtime missed, for the error if the provider cannot start.

    Raises ``ProviderError`` where not even trying makes sense: it takes a second and a page of the library's log.
    """
    provider, available = _PROVIDERS[wanted], onnxruntime.get_available_providers()
    if provider not in available:
        package = onnxruntime_package()
        cure = f"pip uninstall onnxruntime, then pip install {package}"
        if package == "onnxruntime":
            cure = f"there is no other for {platform.system()} on {platform.machine()}; give --provider cpu or openvino"
        there = ", ".join(available)
        raise ProviderError(
            f"this build of ONNX Runtime {onnxruntime.__version__} has no {provider}, only {there}: {cure}"
        )
    if not has_nvidia_driver():
        raise ProviderError(
            f"--provider {wanted} cannot start: this machine has no NVIDIA driver; install {_DRIVER} or newer, or give "
            "--provider cpu or openvino"
        )
    os.environ.update(LIBRARY_SETTINGS)
    # It reports failures on stdout, where the table may be going.
    with contextlib.redirect_stdout(io.StringIO()) as report:
        onnxruntime.preload_dlls()
    if provider == TENSORRT:
        with contextlib.suppress(ImportError):  # where pip did not install it, the system's loader finds it
            importlib.import_module("tensorrt")
    return "; ".join(line for line in report.getvalue().splitlines() if line.startswith("Failed"))
