"""ONNX Runtime, on the CPU or CUDA.

It quietly runs on the CPU when CUDA cannot load; here a provider that was asked for and is missing is an error.
"""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Its wheels (seen in 1.31) keep a device id and a store of usage events under ~/.cache, for sending. Nothing here
# phones home; it looks at this variable once, when it is loaded. Whoever wants it on sets it to 0.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import onnxruntime

from saliency_engine.backend import Port, first_line
from saliency_engine.errors import InferenceError, ModelError, ProviderError
from saliency_engine.models import Model

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


class OnnxRuntime:
    """The backend for ``--provider cpu`` and ``cuda``. Raises ``ModelError``, ``ProviderError``."""

    def __init__(self, model: Model, provider: str, precision: str, threads: int) -> None:
        if precision != "float32":
            raise ProviderError(f"--precision {precision} does not run with --provider {provider}; openvino has it")
        self._model, self._wanted, self._threads = model, provider, threads
        self._session = self._create({}, streams=1)
        self.provider = str(self._session.get_providers()[0])
        self.inputs: Sequence[Port] = [_port(argument) for argument in self._session.get_inputs()]
        self.outputs: Sequence[Port] = [_port(argument) for argument in self._session.get_outputs()]

    def pin(self, shape: tuple[int, int, int, int], streams: int) -> None:
        """See ``Backend``."""
        free = self._session.get_inputs()[0].shape
        names = {name: size for name, size in zip(free, shape, strict=True) if isinstance(name, str)}
        if names or streams > 1:
            self._session = self._create(names, streams)
            self.outputs = [_port(argument) for argument in self._session.get_outputs()]

    def __call__(self, frames: NDArray[np.float32]) -> NDArray[np.float32]:
        """See ``Backend``."""
        try:
            result = self._session.run([self.outputs[0].name], {self.inputs[0].name: frames})[0]
        except Exception as error:  # onnxruntime's errors share no base class but Exception
            raise InferenceError(first_line(error)) from error
        return np.asarray(result, np.float32)

    def _create(self, pins: dict[str, int], streams: int) -> Any:
        wanted = PROVIDERS[self._wanted]
        problem = "" if self._wanted == "cpu" else _preload(wanted)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = max(1, self._threads // streams)
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        for name, size in pins.items():
            options.add_free_dimension_override_by_name(name, size)
        try:
            session = onnxruntime.InferenceSession(self._model.data, options, providers=[wanted])
        except Exception as error:
            raise ModelError(f"cannot load the model {self._model.source}: {first_line(error)}") from error
        if session.get_providers()[0] != wanted:
            raise ProviderError(
                f"--provider {self._wanted} was asked for, but ONNX Runtime {onnxruntime.__version__} could not start "
                f"{wanted} and would run on {session.get_providers()[0]}: {problem or 'the log above says why'}; "
                "the libraries come with pip install 'saliency-batch[cuda]', the driver with the machine"
            )
        return session


def _port(argument: Any) -> Port:
    kind = {"tensor(float)": "float32"}.get(argument.type, argument.type)
    return Port(argument.name, kind, tuple(size if isinstance(size, int) else None for size in argument.shape))


def _preload(provider: str) -> str:
    """Load the provider's libraries; returns what ONNX Runtime found missing, for the error if it cannot start."""
    available = onnxruntime.get_available_providers()
    if provider not in available:
        raise ProviderError(
            f"{provider} is not in this build of ONNX Runtime {onnxruntime.__version__} (it has "
            f"{', '.join(available)}); install onnxruntime-gpu"
        )
    # It prints its troubles on stdout, where the table may be going.
    with contextlib.redirect_stdout(io.StringIO()) as said:
        onnxruntime.preload_dlls()
    return "; ".join(line for line in said.getvalue().splitlines() if line.startswith("Failed"))
