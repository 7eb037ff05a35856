"""The session of a run: which library runs the graph, on frames of which shape, and how many at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from saliency_engine.config import RunConfig
from saliency_engine.errors import InferenceError, ModelError, ProviderError
from saliency_engine.inference.backend import Backend, rewrap_command
from saliency_engine.inference.trial import check_maps, try_graph
from saliency_engine.machine import cores, has_nvidia_driver
from saliency_engine.models.load import Model

# What `auto` tries, fastest first. The order is fixed: were it timed at every start, a run that is taken up again might
# go on with another library and other last digits. On the CPU OpenVINO takes 16.4 ms a frame and ONNX Runtime 20.6 for
# the second student, 171 and 162 for U2NETP, 7.9 and 21 for the student in int8 (docs/performance.md).
_AUTO = ("cuda", "openvino", "cpu")
# One batch is copied to or from the GPU while the model runs on another.
GPU_CALLS_AT_ONCE = 2


class Session:
    """A saliency model ready to run on frames of one fixed shape.

    Raises ``ModelError`` when the graph is not one NCHW float32 input and one single-channel map output, mixes the
    frames of a call, or gives no finite numbers for pictures, and ``ProviderError`` when the provider cannot run here.
    """

    provider: str
    """What really runs, as it stands in the audit and in the memo's key."""
    remark: str
    """How it runs, in words for people; may be empty."""
    fault: str
    """Why no clip can be computed with this model; empty for a sound one."""
    frames_per_call: int
    """Frames per call of the graph: its own number where that is fixed, else 1 on the CPU, ``batch_size`` on a GPU."""
    batches_at_once: int
    """How many calls of ``run`` at a time keep the model busy."""
    height: int
    width: int
    """The model's input size in pixels."""
    map_height: int
    map_width: int
    """The size of its maps in pixels."""

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
        free = (batch_size, 3, model_size[1], model_size[0])
        problems: list[str] = []
        for candidate in _list_candidates(provider):
            try:
                maps = self._start(model, candidate, precision, threads, free)
                break
            except ModelError as error:
                # What a library says of a graph ends all attempts; what a card says of it, or its memory, does not.
                if provider != "auto" or not (isinstance(error, ProviderError) or candidate == "cuda"):
                    raise
                problems.append(str(error))
        else:
            raise ProviderError(f"--provider auto finds nothing that runs {precision} here: {'; '.join(problems)}")
        self.remark = "; ".join(filter(None, [*problems, self._graph.remark]))
        self.map_height, self.map_width = self._check_map(maps.shape, model)
        if not self.fault:
            self._threads.submit(check_maps, self._graph, self._shape, maps, model.source).result()

    def _start(
        self, model: Model, provider: str, precision: str, threads: int, free: tuple[int, ...]
    ) -> NDArray[np.float32]:
        """Compile the graph for ``provider``, with ``free`` for the sizes that are free; returns its first maps."""
        backend = _open(model, provider, precision, threads)
        self.provider = backend.provider
        sizes = [size if fixed is None else fixed for fixed, size in zip(backend.input_shape, free, strict=True)]
        self.frames_per_call, _, self.height, self.width = sizes
        calls_at_once = GPU_CALLS_AT_ONCE
        self.batches_at_once = 3  # a GPU is so fast that one more is measured and filled while two are with it
        if not backend.prefers_batches:
            if backend.input_shape[0] is None:
                # A processor gains nothing from frames in one call: 5.2 ms a frame, not 4.8, for frequency_tuned_v1.
                self.frames_per_call = 1
            # As many frames at once as there are threads, each on one: as fast as all threads on one frame when nothing
            # else runs, and it does not wait at every layer for the thread that decoding has just taken the core from.
            calls_at_once = threads if self.frames_per_call == 1 else 1
            self.batches_at_once = 2  # so that the model's threads never wait for the end of a batch
        self._threads = ThreadPoolExecutor(calls_at_once, thread_name_prefix="infer")
        try:
            self._graph = backend.compile(self._shape, calls_at_once)
            del backend  # frees the graph as it was loaded, before the first run takes memory of its own
            # What file and library say of shapes may be wrong. A picture shows, before any clip is read, that the
            # graph runs, and what it gives.
            return self._threads.submit(try_graph, self._graph, self._shape).result()
        # It loaded before, so the size is to blame. NumPy's ValueError is for a size that no array can have.
        except (ModelError, InferenceError, MemoryError, ValueError) as error:
            self._threads.shutdown()
            raise self._does_not_run(model, error) from error

    @property
    def _shape(self) -> tuple[int, int, int, int]:
        return self.frames_per_call, 3, self.height, self.width

    def run(self, frames: NDArray[np.uint16], maps: NDArray[np.float32]) -> None:
        """Write the saliency maps of 16-bit R'G'B' ``frames`` ``[n, 3, H, W]`` into ``maps`` ``[n, map_H, map_W]``.

        ``n`` must be a multiple of ``frames_per_call``, and both must be C-contiguous. Raises ``InferenceError``.
        """
        if self.fault:
            raise InferenceError(self.fault)
        calls = [slice(start, start + self.frames_per_call) for start in range(0, len(frames), self.frames_per_call)]
        for future in [self._threads.submit(self._call, frames[call], maps[call]) for call in calls]:
            future.result()

    def close(self) -> None:
        """Let the threads go."""
        self._threads.shutdown()

    def _check_map(self, shape: tuple[int, ...], model: Model) -> tuple[int, int]:
        """The height and width of a map, whose shape must be ``[n, 1, H, W]`` or ``[n, H, W]``."""
        n = self.frames_per_call
        if len(shape) not in {3, 4} or shape[:-2] not in {(n,), (n, 1)} or 0 in shape:
            fault = f"{model.source} gives a map of shape {list(shape)}, but it must be [{n}, 1, H, W]"
            if len(shape) == 4 and shape[0] == n and {shape[1], shape[3]} & {1, 2}:  # two classes, or channels last
                fault += f". A file as its authors ship it becomes one by: {rewrap_command(model.source)}"
            raise ModelError(fault)
        return shape[-2], shape[-1]

    def _does_not_run(self, model: Model, error: Exception) -> ModelError:
        frames = f", {self.frames_per_call} frames a call" if self.frames_per_call > 1 else ""
        words = str(error) or "there is not enough memory"  # MemoryError often has no words
        return ModelError(f"{model.source} does not run at {self.width}x{self.height}{frames}: {words}")

    def _call(self, frames: NDArray[np.uint16], maps: NDArray[np.float32]) -> None:
        result = self._graph(frames)
        if result.size != maps.size:
            raise InferenceError(f"the model gave a map of shape {list(result.shape)}, not {list(maps.shape)}")
        maps[...] = result.reshape(maps.shape)


def model_threads(config: RunConfig) -> int:
    """How many threads the model has on the CPU."""
    return cores() if config.threads == "auto" else config.threads


def open_session(model: Model, config: RunConfig) -> Session:
    """The session of ``model`` with the options of ``config``. Raises ``ModelError``, ``ProviderError``."""
    return Session(
        model,
        provider=config.provider,
        precision=config.precision,
        threads=model_threads(config),
        batch_size=config.batch_size,
        model_size=config.model_width_height,
    )


def _list_candidates(provider: str) -> list[str]:
    """What may run the model, to be tried in this order. A machine without NVIDIA's driver needs no word about CUDA."""
    if provider != "auto":
        return [provider]
    return [candidate for candidate in _AUTO if candidate != "cuda" or has_nvidia_driver()]


def _open(model: Model, provider: str, precision: str, threads: int) -> Backend:
    # Imported here, so that a run loads only the library it uses (OpenVINO 0.1 s, ONNX Runtime 0.02 s).
    if provider == "openvino":
        from saliency_engine.inference.open_vino import OpenVino  # noqa: PLC0415

        return OpenVino(model, precision, threads)
    if provider == "cpu":
        from saliency_engine.inference.onnx_runtime import OnnxRuntime  # noqa: PLC0415

        return OnnxRuntime(model, precision, threads)
    from saliency_engine.inference.nvidia import Gpu  # noqa: PLC0415

    return Gpu(model, provider, precision)
