"""ONNX Runtime on the CPU, and what its sessions on any device have in common.

ONNX Runtime quietly runs on the CPU when another provider cannot load. Here a provider that was asked for and cannot
start is an error.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from saliency_engine.errors import InferenceError, ModelError, ProviderError
from saliency_engine.inference.backend import Port, check_ports, shorten_message
from saliency_engine.models.load import Model
from saliency_engine.numerics.normalize import Normalizer

CPU = "CPUExecutionProvider"


class OnnxRuntime:
    """The backend for ``--provider cpu``. Raises ``ModelError``, ``ProviderError``."""

    provider = CPU
    prefers_batches = False

    def __init__(self, model: Model, precision: str, threads: int) -> None:
        refuse_precision(precision, "cpu")
        self._model, self._threads = model, threads
        self._session = self._create({}, calls_at_once=1)
        inputs, outputs = read_ports(self._session)
        check_ports(inputs, outputs, model.source)
        self.input_shape = inputs[0].shape

    def compile(self, shape: tuple[int, int, int, int], calls_at_once: int) -> CpuGraph:
        """See ``Backend``."""
        sizes = name_free_sizes(self._session, shape)
        session = self._create(sizes, calls_at_once) if sizes or calls_at_once > 1 else self._session
        return CpuGraph(session, shape)

    def _create(self, sizes: Mapping[str, int], calls_at_once: int) -> Any:
        return create_session(self._model, self._model.data, {CPU: {}}, sizes, max(1, self._threads // calls_at_once))


class CpuGraph:
    """A session of ONNX Runtime on the CPU as a ``CompiledGraph`` for inputs of ``shape``."""

    remark = ""

    def __init__(self, session: Any, shape: tuple[int, ...]) -> None:
        self._session = session
        (taken,), (given,) = read_ports(session)
        self._input, self._output = taken.name, given.name
        self._normalize = Normalizer(shape)

    def __call__(self, frames: NDArray[np.uint16]) -> NDArray[np.float32]:
        """See ``CompiledGraph``."""
        normalized = self._normalize(frames)
        try:
            result = self._session.run([self._output], {self._input: normalized})[0]
        except Exception as error:  # onnxruntime's errors share no base class but Exception
            raise InferenceError(shorten_message(error)) from error
        return np.asarray(result, np.float32)


def create_session(
    model: Model, data: bytes, providers: Mapping[str, Mapping[str, str]], sizes: Mapping[str, int], threads: int
) -> Any:
    """A session of ``data`` (``model``'s bytes, or made from them) on ``providers`` (name to options), best first.

    Free dimensions named in ``sizes`` are fixed. Raises ``ModelError``, and ``ProviderError`` when the first of
    ``providers`` does not start.
    """
    wanted = next(iter(providers))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3
    # A memory pattern planned from the first run is allocated beside the memory that this run took: U2NETP on two
    # threads came to 711 MB instead of 509, and was no faster. On a card, where graphs are captured, it stays on.
    options.enable_mem_pattern = wanted != CPU
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")  # for ``count_operators``
    for name, size in sizes.items():
        options.add_free_dimension_override_by_name(name, size)
    try:
        # Without enable_fallback=0 it prints on stdout and goes on with the CPU, even in the middle of a run.
        session = onnxruntime.InferenceSession(data, options, providers=list(providers.items()), enable_fallback=0)
    except Exception as error:
        raise ModelError(f"cannot load the model {model.source}: {shorten_message(error)}") from error
    if session.get_providers()[0] != wanted:
        raise ProviderError(
            f"ONNX Runtime {onnxruntime.__version__} could not start {wanted} and would run on "
            f"{session.get_providers()[0]}"
        )
    return session


def read_ports(session: Any) -> tuple[Sequence[Port], Sequence[Port]]:
    """The inputs and outputs of a session's graph."""
    return [_read_port(taken) for taken in session.get_inputs()], [_read_port(given) for given in session.get_outputs()]


def count_operators(session: Any) -> dict[str, int]:
    """How many of the graph's operators each provider runs."""
    counts: dict[str, int] = {}
    for part in session.get_provider_graph_assignment_info():
        counts[part.ep_name] = counts.get(part.ep_name, 0) + len(part.get_nodes())
    return counts


def name_free_sizes(session: Any, shape: Sequence[int]) -> dict[str, int]:
    """The sizes that the named free dimensions of the only input take on when it has ``shape``."""
    dimensions = session.get_inputs()[0].shape
    return {name: size for name, size in zip(dimensions, shape, strict=True) if isinstance(name, str)}


def refuse_precision(precision: str, provider: str) -> None:
    """Raise ``ProviderError`` for a precision that only OpenVINO has."""
    if precision != "float32":
        raise ProviderError(
            f"--precision {precision} does not run with --provider {provider}: give --provider openvino"
        )


def _read_port(argument: Any) -> Port:
    kind = {"tensor(float)": "float32"}.get(argument.type) or re.sub(r"^tensor\((.+)\)$", r"\1", argument.type)
    return Port(argument.name, kind, tuple(size if isinstance(size, int) else None for size in argument.shape))
