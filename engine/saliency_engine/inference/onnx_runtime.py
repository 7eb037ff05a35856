"""ONNX Runtime on the CPU, and what its sessions on any device have in common.

It quietly runs on the CPU when another provider cannot load; here a provider that was asked for and is missing is an
error.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Its wheels (seen in 1.31) keep a device id and a store of usage events under ~/.cache, for sending. Nothing here
# phones home; it looks at this variable once, when it is loaded. Whoever wants it on sets it to 0.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import onnxruntime

from saliency_engine.errors import InferenceError, ModelError, ProviderError
from saliency_engine.inference.backend import Port, check_ports, first_line
from saliency_engine.models.load import Model
from saliency_engine.numerics.normalize import Normalizer

CPU = "CPUExecutionProvider"


class OnnxRuntime:
    """The backend for ``--provider cpu``. Raises ``ModelError``, ``ProviderError``."""

    batches = False
    remark = ""

    def __init__(self, model: Model, precision: str, threads: int) -> None:
        refuse_precision(precision, "cpu")
        self._model, self._threads = model, threads
        self._session = self._create({}, streams=1)
        self.provider = CPU
        self.inputs, self.outputs = ports(self._session)
        check_ports(self.inputs, self.outputs, model.source)

    def pin(self, shape: tuple[int, int, int, int], streams: int) -> None:
        """See ``Backend``."""
        names = free_names(self._session, shape)
        if names or streams > 1:
            self._session = self._create(names, streams)
            self.outputs = ports(self._session)[1]
        self._normalized = Normalizer(shape)

    def __call__(self, frames: NDArray[np.uint16]) -> NDArray[np.float32]:
        """See ``Backend``."""
        normalized = self._normalized(frames)
        try:
            result = self._session.run([self.outputs[0].name], {self.inputs[0].name: normalized})[0]
        except Exception as error:  # onnxruntime's errors share no base class but Exception
            raise InferenceError(first_line(error)) from error
        return np.asarray(result, np.float32)

    def _create(self, pins: Mapping[str, int], streams: int) -> Any:
        return create(self._model, self._model.data, {CPU: {}}, pins, max(1, self._threads // streams))


def create(
    model: Model, data: bytes, providers: Mapping[str, Mapping[str, str]], pins: Mapping[str, int], threads: int
) -> Any:
    """A session of ``data`` (``model``'s bytes, or made from them) on ``providers`` (name to options), best first.

    Dimensions named in ``pins`` are fixed. Raises ``ModelError``, and ``ProviderError`` when the first of ``providers``
    does not start.
    """
    wanted = next(iter(providers))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3
    # Its plan of a first run's memory is laid out beside what that run took: U2NETP on two threads came to 711 MB
    # instead of 509, no faster. On a card, where graphs are captured, all stays as it is.
    options.enable_mem_pattern = wanted != CPU
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")  # for ``placed``
    for name, size in pins.items():
        options.add_free_dimension_override_by_name(name, size)
    try:
        # Without enable_fallback=0 it would print on stdout, and go on with the CPU, also in the middle of a run.
        session = onnxruntime.InferenceSession(data, options, providers=list(providers.items()), enable_fallback=0)
    except Exception as error:
        raise ModelError(f"cannot load the model {model.source}: {first_line(error)}") from error
    if session.get_providers()[0] != wanted:
        raise ProviderError(
            f"ONNX Runtime {onnxruntime.__version__} could not start {wanted} and would run on "
            f"{session.get_providers()[0]}"
        )
    return session


def ports(session: Any) -> tuple[Sequence[Port], Sequence[Port]]:
    """The inputs and outputs of a session's graph."""
    return [_port(argument) for argument in session.get_inputs()], [_port(one) for one in session.get_outputs()]


def placed(session: Any) -> dict[str, int]:
    """How many of the graph's operators each provider runs."""
    count: dict[str, int] = {}
    for part in session.get_provider_graph_assignment_info():
        count[part.ep_name] = count.get(part.ep_name, 0) + len(part.get_nodes())
    return count


def free_names(session: Any, shape: Sequence[int]) -> dict[str, int]:
    """What the named free dimensions of the only input are when it has ``shape``."""
    free = session.get_inputs()[0].shape
    return {name: size for name, size in zip(free, shape, strict=True) if isinstance(name, str)}


def refuse_precision(precision: str, provider: str) -> None:
    """Raise ``ProviderError`` for what only OpenVINO has."""
    if precision != "float32":
        raise ProviderError(f"--precision {precision} does not run with --provider {provider}; openvino has it")


def _port(argument: Any) -> Port:
    kind = {"tensor(float)": "float32"}.get(argument.type, argument.type)
    return Port(argument.name, kind, tuple(size if isinstance(size, int) else None for size in argument.shape))
