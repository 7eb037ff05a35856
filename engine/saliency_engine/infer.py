"""One ONNX Runtime session for the whole run: providers, shapes, and running a batch.

Everything about execution providers is in this file. ONNX Runtime quietly runs on the CPU when CUDA cannot load;
here a provider that was asked for and is missing is an error.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Its wheels (seen in 1.31) keep a device id and a store of usage events under ~/.cache, for sending. Nothing here
# phones home; it looks at this variable once, when it is loaded. Whoever wants it on sets it to 0.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import onnxruntime

from saliency_engine.errors import InferenceError, ModelError, ProviderError
from saliency_engine.models import Model

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


class Session:
    """A saliency model ready to run on frames of one fixed shape.

    ``height``, ``width``: the model's input size in pixels. ``batch``: frames per call of the graph: the
    graph's own number where it is fixed, otherwise ``batch_size``. ``provider``: what really runs.

    Raises ``ModelError`` when the graph is not one NCHW float32 input and one single-channel map output, and
    ``ProviderError`` when the provider cannot run here.
    """

    def __init__(
        self, model: Model, *, provider: str, threads: int, batch_size: int, model_size: tuple[int, int]
    ) -> None:
        self._session = _create(model, provider, threads, {})
        self._input, shape = _check_input(self._session, model)
        self._output = _check_output(self._session, model)
        wanted = (batch_size, 3, model_size[1], model_size[0])
        sizes = [fixed if isinstance(fixed, int) else free for fixed, free in zip(shape, wanted, strict=True)]
        self.batch, _, self.height, self.width = sizes
        pins = {name: size for name, size in zip(shape, sizes, strict=True) if isinstance(name, str)}
        if pins:
            # Pinning the free dimensions lets ONNX Runtime plan its memory once.
            try:
                self._session = _create(model, provider, threads, pins)
            except ModelError as error:  # it loaded before, so the size is to blame
                raise ModelError(f"{model.source} does not run at {self.width}x{self.height}: {error}") from error
        self.provider = str(self._session.get_providers()[0])
        self.map_height, self.map_width = self._map_size(model)

    def _map_size(self, model: Model) -> tuple[int, int]:
        shape = self._session.get_outputs()[0].shape
        if not all(isinstance(size, int) for size in shape):
            # Only a run tells the map's size; it also finds sizes that the graph cannot take before any clip is read.
            try:
                shape = self._call(np.zeros((self.batch, 3, self.height, self.width), np.float32)).shape
            except InferenceError as error:
                raise ModelError(f"{model.source} does not run at {self.width}x{self.height}: {error}") from error
        if not (shape[0] == self.batch and (len(shape) == 3 or shape[1] == 1)):
            raise ModelError(f"{model.source} gives a map of shape {list(shape)}; expected [{self.batch}, 1, H, W]")
        return int(shape[-2]), int(shape[-1])

    def run(self, frames: NDArray[np.float32], maps: NDArray[np.float32]) -> None:
        """Write the saliency maps of normalised ``frames`` ``[n, 3, H, W]`` into ``maps`` ``[n, map_H, map_W]``.

        ``n`` must be a multiple of ``batch``. Both float32, C-contiguous. Raises ``InferenceError``.
        """
        for start in range(0, len(frames), self.batch):
            chunk = slice(start, start + self.batch)
            result = self._call(frames[chunk])
            if result.size != maps[chunk].size:
                raise InferenceError(
                    f"the model gave a map of shape {list(result.shape)}, not {list(maps[chunk].shape)}"
                )
            maps[chunk] = result.reshape(maps[chunk].shape)

    def _call(self, frames: NDArray[np.float32]) -> NDArray[np.float32]:
        try:
            result = self._session.run([self._output], {self._input: frames})[0]
        except Exception as error:  # onnxruntime's errors share no base class but Exception
            raise InferenceError(_first_line(error)) from error
        return np.asarray(result, np.float32)


def _create(model: Model, provider: str, threads: int, pins: dict[str, int]) -> Any:
    wanted = PROVIDERS[provider]
    problem = "" if provider == "cpu" else _preload(wanted)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    for name, size in pins.items():
        options.add_free_dimension_override_by_name(name, size)
    try:
        session = onnxruntime.InferenceSession(model.data, options, providers=[wanted])
    except Exception as error:
        raise ModelError(f"cannot load the model {model.source}: {_first_line(error)}") from error
    if session.get_providers()[0] != wanted:
        raise ProviderError(
            f"--provider {provider} was asked for, but ONNX Runtime {onnxruntime.__version__} could not start "
            f"{wanted} and would run on {session.get_providers()[0]}: {problem or 'the log above says why'}; "
            "the libraries come with pip install 'saliency-batch[cuda]', the driver with the machine"
        )
    return session


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


def _check_input(session: Any, model: Model) -> tuple[str, list[int | str | None]]:
    inputs = session.get_inputs()
    found = ", ".join(f"{i.name} {i.type} {i.shape}" for i in inputs)
    if len(inputs) != 1 or inputs[0].type != "tensor(float)" or len(inputs[0].shape) != 4 or inputs[0].shape[1] != 3:
        raise ModelError(
            f"{model.source} is not a saliency model: expected one float32 input [N, 3, H, W], found {found}"
        )
    return str(inputs[0].name), list(inputs[0].shape)


def _check_output(session: Any, model: Model) -> str:
    outputs = session.get_outputs()
    found = ", ".join(f"{o.name} {o.type} {o.shape}" for o in outputs)
    if len(outputs) != 1 or outputs[0].type != "tensor(float)" or len(outputs[0].shape) not in (3, 4):
        raise ModelError(
            f"{model.source} is not a saliency model: expected one float32 output [N, 1, H, W], found {found}"
        )
    return str(outputs[0].name)


def _first_line(error: Exception) -> str:
    text = re.sub(r"\s+", " ", str(error)).strip()
    return text[:400] or type(error).__name__
