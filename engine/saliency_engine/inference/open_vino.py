"""OpenVINO on the CPU: the library itself, the extra ``openvino``."""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from saliency_engine.errors import InferenceError, ModelError, ProviderError
from saliency_engine.inference.backend import Port, check_ports, first_line
from saliency_engine.models.load import Model
from saliency_engine.numerics.normalize import Normalizer

# Importing OpenVINO (seen in 2026.4) makes an id in ~/intel and sends a usage event, and fails where there is no home.
# Nothing here phones home: its statistics package is out of sight while it is imported, as if it were not installed.
_SILENCED = sys.modules.setdefault("openvino_telemetry", None) is None  # type: ignore[arg-type]
try:
    import openvino
except ImportError:
    openvino = None
finally:
    if _SILENCED:
        del sys.modules["openvino_telemetry"]


class OpenVino:
    """The backend for ``--provider openvino``. Raises ``ModelError``, ``ProviderError``."""

    batches = False
    remark = ""

    def __init__(self, model: Model, precision: str, threads: int) -> None:
        if openvino is None:
            raise ProviderError("--provider openvino needs its library: pip install 'saliency-batch[openvino]'")
        self._model, self._core = model, openvino.Core()
        if precision == "bfloat16" and "BF16" not in self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            raise ProviderError("--precision bfloat16: this processor does not compute in bfloat16")
        self._settings = {
            "INFERENCE_NUM_THREADS": threads,
            # Its default is bfloat16 wherever the processor has it: up to four times as fast, and the second student's
            # mean moved by 0.005. A table tagged with a float32 model must hold that model's numbers.
            "INFERENCE_PRECISION_HINT": "bf16" if precision == "bfloat16" else "f32",
        }
        try:
            self._graph: Any = self._core.read_model(model.data)
        except RuntimeError as error:
            raise ModelError(f"cannot load the model {model.source}: {first_line(error)}") from error
        self.provider = "OpenVINO CPU" if precision == "float32" else f"OpenVINO CPU {precision}"
        self.inputs: Sequence[Port] = [_port(node) for node in self._graph.inputs]
        self.outputs: Sequence[Port] = [_port(node) for node in self._graph.outputs]
        check_ports(self.inputs, self.outputs, model.source)
        self._compiled: Any = None
        self._own = threading.local()  # a request serves one call at a time

    def pin(self, shape: tuple[int, int, int, int], streams: int) -> None:
        """See ``Backend``."""
        try:
            self._graph.reshape(list(shape))
            self._compiled = self._core.compile_model(self._graph, "CPU", {**self._settings, "NUM_STREAMS": streams})
        except RuntimeError as error:
            raise ModelError(f"cannot load the model {self._model.source}: {first_line(error)}") from error
        self.outputs = [_port(node) for node in self._graph.outputs]
        self._normalized = Normalizer(shape)

    def __call__(self, frames: NDArray[np.uint16]) -> NDArray[np.float32]:
        """See ``Backend``."""
        normalized = self._normalized(frames)
        try:
            if not hasattr(self._own, "request"):
                self._own.request = self._compiled.create_infer_request()
            result = self._own.request.infer({0: normalized}, share_inputs=True, share_outputs=True)
        except RuntimeError as error:
            raise InferenceError(first_line(error)) from error
        return np.asarray(result[0], np.float32)


def _port(node: Any) -> Port:
    shape = tuple(None if size.is_dynamic else int(size.get_length()) for size in node.partial_shape)
    return Port(node.any_name, str(node.element_type.to_dtype()), shape)
