"""OpenVINO on the CPU, by its own library: the extra ``openvino``."""

from __future__ import annotations

import sys
import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

from saliency_engine.errors import InferenceError, ModelError, ProviderError
from saliency_engine.inference.backend import Port, check_ports, shorten_message
from saliency_engine.models.graph.misread import find_misread
from saliency_engine.models.load import Model
from saliency_engine.numerics.normalize import Normalizer

# Importing OpenVINO (seen in 2026.4) makes an id in ~/intel and sends a usage event, and fails where there is no home.
# Nothing here phones home: while OpenVINO is imported, its statistics package is hidden as if it were not installed.
_SILENCED = sys.modules.setdefault("openvino_telemetry", None) is None  # type: ignore[arg-type]
try:
    import openvino
except ImportError:
    openvino = None
finally:
    if _SILENCED:
        del sys.modules["openvino_telemetry"]


_KINDS = {"f32": "float32", "f16": "float16", "bf16": "bfloat16", "f64": "float64", "u8": "uint8", "u16": "uint16"}


class OpenVino:
    """The backend for ``--provider openvino``. Raises ``ModelError``, ``ProviderError``."""

    prefers_batches = False

    def __init__(self, model: Model, precision: str, threads: int) -> None:
        if openvino is None:
            raise ProviderError("--provider openvino needs its library: pip install 'saliency-batch[openvino]'")
        self._core = openvino.Core()
        if precision == "bfloat16" and "BF16" not in self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            raise ProviderError(
                "--precision bfloat16 does not run on this processor, which cannot compute in bfloat16: "
                "give --precision float32"
            )
        if misread := find_misread(model.data):
            raise ProviderError(
                f"OpenVINO computes {misread}, which {model.source} has, otherwise than ONNX says: give --provider cpu"
            )
        self._settings = {
            "INFERENCE_NUM_THREADS": threads,
            # OpenVINO's default is bfloat16 where the processor has it: up to four times as fast, but the second
            # student's mean moved by 0.005. A table tagged with a float32 model must hold that model's numbers.
            "INFERENCE_PRECISION_HINT": "bf16" if precision == "bfloat16" else "f32",
        }
        self._source = model.source
        try:
            self._graph: Any = self._core.read_model(model.data)
        except RuntimeError as error:
            raise self._cannot_load(error) from error
        self.provider = "OpenVINO CPU" if precision == "float32" else f"OpenVINO CPU {precision}"
        inputs = [_read_port(node) for node in self._graph.inputs]
        check_ports(inputs, [_read_port(node) for node in self._graph.outputs], model.source)
        self.input_shape = inputs[0].shape

    def compile(self, shape: tuple[int, int, int, int], calls_at_once: int) -> OpenVinoGraph:
        """See ``Backend``."""
        settings = {**self._settings, "NUM_STREAMS": calls_at_once}
        try:
            self._graph.reshape(list(shape))
            return OpenVinoGraph(self._core.compile_model(self._graph, "CPU", settings), shape)
        except RuntimeError as error:
            raise self._cannot_load(error) from error

    def _cannot_load(self, error: RuntimeError) -> ModelError:
        return ModelError(f"cannot load the model {self._source}: {shorten_message(error)}")


class OpenVinoGraph:
    """A model that OpenVINO has compiled, as a ``CompiledGraph`` for inputs of ``shape``."""

    remark = ""

    def __init__(self, compiled: Any, shape: tuple[int, ...]) -> None:
        self._compiled = compiled
        self._normalize = Normalizer(shape)
        self._own = threading.local()  # a request serves one call at a time

    def __call__(self, frames: NDArray[np.uint16]) -> NDArray[np.float32]:
        """See ``CompiledGraph``."""
        normalized = self._normalize(frames)
        try:
            if not hasattr(self._own, "request"):
                self._own.request = self._compiled.create_infer_request()
            result = self._own.request.infer({0: normalized}, share_inputs=True, share_outputs=True)
        except RuntimeError as error:
            raise InferenceError(shorten_message(error)) from error
        return np.asarray(result[0], np.float32)


def _read_port(node: Any) -> Port:
    kind = node.element_type.get_type_name()
    sizes = [] if node.partial_shape.rank.is_dynamic else node.partial_shape
    shape = tuple(None if size.is_dynamic else int(size.get_length()) for size in sizes)
    return Port(node.any_name, _KINDS.get(kind, kind), shape)
