"""NVIDIA cards: ONNX Runtime with CUDA or TensorRT, input and output bound to the card's memory.

Written from the documentation of ONNX Runtime 1.31. What needs a card has not been run yet (docs/performance.md).
https://onnxruntime.ai/docs/execution-providers/CUDA-ExecutionProvider.html
https://onnxruntime.ai/docs/execution-providers/TensorRT-ExecutionProvider.html
"""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path

import onnxruntime

from saliency_engine.errors import InferenceError, ModelError, ProviderError
from saliency_engine.inference.backend import check_ports, shorten_message
from saliency_engine.inference.cuda_memory import CudaMemory
from saliency_engine.inference.io_binding import BoundSession, MainMemory, Memory
from saliency_engine.inference.onnx_runtime import CPU, count_operators, create_session, read_ports, refuse_precision
from saliency_engine.machine import onnxruntime_package
from saliency_engine.models.graph import edit
from saliency_engine.models.load import Model

CUDA, TENSORRT = "CUDAExecutionProvider", "TensorrtExecutionProvider"
CUDA_OPTIONS: Mapping[str, str] = {
    # TF32, with 10 bits of mantissa, is the default on cards that have it. A table tagged with a float32 model must
    # hold that model's numbers.
    "use_tf32": "0",
    # The default times every convolution at every start. That is slow, and a resumed run might choose other ones.
    "cudnn_conv_algo_search": "HEURISTIC",
    "arena_extend_strategy": "kSameAsRequested",
}
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
        if self.input_shape[0] == 1 and edit.frames_apart(model.data):
            self.input_shape = (None, *self.input_shape[1:])
        if provider != "cpu":
            self._check_start(_preload(self.provider))
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
        session = create_session(self._model, data, providers(self._model, self._wanted, graphs=graphs), {}, 1)
        operators = count_operators(session)
        if not operators.get(self.provider):
            raise ProviderError(
                f"{self.provider} takes none of the operators of {self._model.source}: give another --provider"
            )
        elsewhere = [f"{count} operators on {name}" for name, count in operators.items() if name != self.provider]
        remark = ", ".join([*remarks, *elsewhere])
        return BoundSession(session, self._memory, shape, calls_at_once, graphs=graphs, remark=remark)

    def _check_start(self, problem: str) -> None:
        """Raise ``ProviderError`` unless the provider starts.

        It is tried on the smallest of graphs, because TensorRT compiles real ones for minutes. ``problem`` is what
        ``_preload`` reported.
        """
        try:
            wanted = providers(self._model, self._wanted, graphs=False)
            create_session(self._model, edit.smallest_model(), wanted, {}, 1)
        except ModelError as error:
            reason = shorten_message(error.__cause__ or error)
            raise ProviderError(
                f"--provider {self._wanted} cannot start: {reason} ({problem or 'the log above says why'}). Its "
                f"libraries come with pip install 'saliency-batch[{self._wanted}]'; NVIDIA's driver must be installed "
                "on this machine"
            ) from error


def providers(
    model: Model, provider: str, *, graphs: bool, options: Mapping[str, str] = {}
) -> dict[str, dict[str, str]]:
    """ONNX Runtime's names and options for our ``provider``, best first: CUDA runs what TensorRT does not take."""
    if provider == "cpu":
        return {CPU: {}}
    cuda = {CUDA: {**CUDA_OPTIONS, **options, "enable_cuda_graph": str(int(graphs))}}
    return cuda if provider == "cuda" else {TENSORRT: _tensorrt_options(model), **cuda}


def _tensorrt_options(model: Model) -> dict[str, str]:
    options = {"trt_fp16_enable": str(int(edit.in_half_precision(model.data)))}
    folder = _engine_folder(model)
    if folder is not None:
        options |= {"trt_engine_cache_enable": "1", "trt_engine_cache_path": str(folder)}
        options |= {"trt_timing_cache_enable": "1", "trt_timing_cache_path": str(folder)}
    return options


def _engine_folder(model: Model) -> Path | None:
    """The folder for this model's compiled engines; ``None`` where there is no home.

    Each model has its own, because TensorRT's file names tell graphs apart, but not their weights.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if not cache.is_absolute():  # the XDG specification says to ignore relative paths
        try:
            cache = Path.home() / ".cache"
        except RuntimeError:
            return None
    folder = cache / "saliency-batch" / "tensorrt" / f"onnxruntime-{onnxruntime.__version__}" / model.sha256
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _preload(provider: str) -> str:
    """Load the provider's libraries. Returns what ONNX Runtime missed, for the error if the provider cannot start."""
    available = onnxruntime.get_available_providers()
    if provider not in available:
        package = onnxruntime_package()
        cure = f"pip uninstall onnxruntime, then pip install {package}"
        if package == "onnxruntime":
            cure = f"there is no other for {platform.system()} on {platform.machine()}; give --provider cpu or openvino"
        there = ", ".join(available)
        raise ProviderError(
            f"this build of ONNX Runtime {onnxruntime.__version__} has no {provider}, only {there}: {cure}"
        )
    if provider == TENSORRT:
        # TensorRT computes float32 in TF32 unless NVIDIA's libraries are told so when they load: it has no option here.
        os.environ["NVIDIA_TF32_OVERRIDE"] = "0"
    # It reports failures on stdout, where the table may be going.
    with contextlib.redirect_stdout(io.StringIO()) as report:
        onnxruntime.preload_dlls()
    if provider == TENSORRT:
        with contextlib.suppress(ImportError):  # where pip did not install it, the system's loader finds it
            importlib.import_module("tensorrt")
    return "; ".join(line for line in report.getvalue().splitlines() if line.startswith("Failed"))
