"""One session for the whole run: which library runs the graph, its shapes, and running a batch."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from saliency_engine.config import RunConfig
from saliency_engine.errors import InferenceError, ModelError, ProviderError
from saliency_engine.inference.backend import Backend
from saliency_engine.machine import cores
from saliency_engine.models.load import Model

# What `auto` tries, fastest first. The order is fixed: were it timed at every start, a run that is taken up again might
# go on with another library and other last digits. On the CPU OpenVINO takes 16.4 ms a frame and ONNX Runtime 20.6 for
# the second student, 171 and 162 for U2NETP, 7.9 and 21 for the student in int8 (docs/performance.md).
_AUTO = ("cuda", "openvino", "cpu")
# Linux's driver, or Windows' under WSL. Without one, not even trying spares a second and a page of the library's log.
_NVIDIA_DRIVER = ("/proc/driver/nvidia/version", "/dev/dxg")
# With a GPU: one batch is copied while another is with the model.
LANES = 2


class Session:
    """A saliency model ready to run on frames of one fixed shape.

    ``height``, ``width``: the model's input size in pixels. ``batch``: frames per call of the graph: the graph's own
    number where it is fixed, otherwise 1 on the CPU and ``batch_size`` on a GPU. ``provider``: what really runs;
    ``remark``: more about how, for people. ``fault``: why no clip can be computed with this model, empty for a sound
    one. ``batches_at_once``: how many calls of ``run`` keep it busy.

    Raises ``ModelError`` when the graph is not one NCHW float32 input and one single-channel map output, and
    ``ProviderError`` when the provider cannot run here.
    """

    def __init__(
        self,
        model: Model,
        *,
        provider: str,
        precision: str = "float32",
        threads: int,
        batch_size: int,
        model_size: tuple[int, int],
    ) -> None:
        self.fault = model.fault
        self._backend = _open(model, provider, precision, threads)
        free = (batch_size, 3, model_size[1], model_size[0])
        shape = self._backend.inputs[0].shape
        sizes = [size if fixed is None else fixed for fixed, size in zip(shape, free, strict=True)]
        self.batch, _, self.height, self.width = sizes
        if shape[0] is None and not self._backend.batches:
            # A processor gains nothing from frames in one call: 5.2 ms a frame instead of 4.8 for the built-in model.
            self.batch = 1
        streams = 1
        if self._backend.batches:
            streams = LANES
        elif self.batch == 1:
            # As many frames at once as there are threads, each on one: as fast as all threads on one frame when nothing
            # else runs, and it does not wait at every layer for the thread that decoding has just taken the core from.
            streams = threads
        # Two, so that its threads never wait for the end of a batch; a GPU computes so fast that one more is measured
        # and filled meanwhile.
        self.batches_at_once = 3 if self._backend.batches else 2
        self._pool = ThreadPoolExecutor(streams, thread_name_prefix="infer")
        try:
            self._backend.pin((self.batch, 3, self.height, self.width), streams)
        except ModelError as error:  # it loaded before, so the size is to blame
            raise ModelError(f"{model.source} does not run at {self.width}x{self.height}: {error}") from error
        self.provider, self.remark = self._backend.provider, self._backend.remark
        self.map_height, self.map_width = self._map_size(model)

    def _map_size(self, model: Model) -> tuple[int, int]:
        shape: tuple[int | None, ...] = self._backend.outputs[0].shape
        if None in shape:
            # Only a run tells the map's size; it also finds sizes that the graph cannot take before any clip is read.
            try:
                shape = self._backend(np.zeros((self.batch, 3, self.height, self.width), np.uint16)).shape
            except InferenceError as error:
                raise ModelError(f"{model.source} does not run at {self.width}x{self.height}: {error}") from error
        height, width = shape[-2:]
        if shape[0] != self.batch or (len(shape) == 4 and shape[1] != 1) or height is None or width is None:
            raise ModelError(f"{model.source} gives a map of shape {list(shape)}; expected [{self.batch}, 1, H, W]")
        return height, width

    def run(self, frames: NDArray[np.uint16], maps: NDArray[np.float32]) -> None:
        """Write the saliency maps of 16-bit R'G'B' ``frames`` ``[n, 3, H, W]`` into ``maps`` ``[n, map_H, map_W]``.

        ``n`` must be a multiple of ``batch``. Both C-contiguous. Raises ``InferenceError``.
        """
        if self.fault:
            raise InferenceError(self.fault)
        chunks = [slice(start, start + self.batch) for start in range(0, len(frames), self.batch)]
        for done in [self._pool.submit(self._run_one, frames[chunk], maps[chunk]) for chunk in chunks]:
            done.result()

    def close(self) -> None:
        """Let the threads go."""
        self._pool.shutdown()

    def _run_one(self, frames: NDArray[np.uint16], maps: NDArray[np.float32]) -> None:
        result = self._backend(frames)
        if result.size != maps.size:
            raise InferenceError(f"the model gave a map of shape {list(result.shape)}, not {list(maps.shape)}")
        maps[...] = result.reshape(maps.shape)


def model_threads(config: RunConfig) -> int:
    """Threads of the model on the CPU under ``config``."""
    return cores() if config.threads == "auto" else config.threads


def open_session(model: Model, config: RunConfig) -> Session:
    """The model, ready to run under ``config``. Raises ``ModelError``, ``ProviderError``."""
    return Session(
        model,
        provider=config.provider,
        precision=config.precision,
        threads=model_threads(config),
        batch_size=config.batch_size,
        model_size=config.model_width_height,
    )


def _open(model: Model, provider: str, precision: str, threads: int) -> Backend:
    # Imported here, so that a run loads only the library it uses (OpenVINO 0.1 s, ONNX Runtime 0.02 s).
    if provider == "openvino":
        from saliency_engine.inference.open_vino import OpenVino  # noqa: PLC0415

        return OpenVino(model, precision, threads)
    if provider == "cpu":
        from saliency_engine.inference.onnx_runtime import OnnxRuntime  # noqa: PLC0415

        return OnnxRuntime(model, precision, threads)
    if provider != "auto":
        from saliency_engine.inference.nvidia import Gpu  # noqa: PLC0415

        return Gpu(model, provider, precision)
    problems: list[str] = []
    for candidate in _AUTO:
        if candidate == "cuda" and not any(map(os.path.exists, _NVIDIA_DRIVER)):
            continue
        try:
            backend = _open(model, candidate, precision, threads)
        except ProviderError as error:
            problems.append(str(error))
            continue
        backend.remark = "; ".join(problems)
        return backend
    raise ProviderError(f"no provider runs {precision} here: {'; '.join(problems)}")
