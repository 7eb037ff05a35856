"""A model alone on a graphics card: the bare loop, the engine's way there and back, agreement with the processor.

``gpu.py`` calls each function in a process of its own, so that its memory is freed and a crash stops nothing else.
``provider`` is the engine's, ``cuda`` or ``tensorrt``. With ``cpu`` everything runs on ONNX Runtime's CPU provider, so
that the script can be tried where there is no card.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import saliency_engine  # noqa: F401  it switches off the telemetry of ONNX Runtime, so it comes first

# isort: split
import numpy as np
import onnxruntime
from numpy.typing import NDArray

from saliency_engine.config import RunConfig
from saliency_engine.inference import nvidia
from saliency_engine.inference.onnx_runtime import OnnxRuntime, create_session
from saliency_engine.inference.session import GPU_CALLS_AT_ONCE
from saliency_engine.jobs.bench.agreement import gate
from saliency_engine.models.graph import edit
from saliency_engine.models.graph.framewise import frames_apart
from saliency_engine.models.graph.inspect import read_graph
from saliency_engine.models.load import Model, load_model
from saliency_engine.numerics.fidelity import compare
from saliency_engine.samplings import Head
from saliency_engine.storage.locate import Locator
from saliency_engine.types import ClipReference, DecodeSpec
from saliency_engine.video.decode import decode_frames

SIZE = (320, 320)
_WARM_UP = 3


@dataclass(frozen=True)
class Loop:
    """How a model is run in a loop."""

    provider: str
    batch: int
    """Frames per call."""
    graphs: bool
    """Whether with CUDA graphs."""
    seconds: float
    """How long at least."""


@dataclass(frozen=True)
class CardSettings:
    """What may move numbers or speed on a card. The defaults are the engine's own."""

    options: Mapping[str, str] = field(default_factory=dict)
    """The CUDA provider's, beside the engine's own or in their place."""
    override: bool = True
    """Whether NVIDIA's libraries load with ``NVIDIA_TF32_OVERRIDE=0``."""
    uint16: bool = True
    """Frames cross in 16 bits and are normalised there; else float32 crosses, normalised here."""

    def apply(self) -> None:
        """Make them those of this process, which must not have loaded NVIDIA's libraries yet."""
        nvidia.CUDA_OPTIONS = {**nvidia.CUDA_OPTIONS, **self.options}
        if not self.override:
            nvidia.LIBRARY_SETTINGS = {}
            os.environ.pop("NVIDIA_TF32_OVERRIDE", None)


def load(path: Path) -> Model:
    """The model as the engine loads it."""
    return load_model(RunConfig(model_path=str(path)))


def batches(path: Path, wanted: Sequence[int]) -> list[int]:
    """Those of ``wanted`` frames per call that the engine would run with; the graph's own where it allows no other."""
    model = load(path)
    own = read_graph(model.data).input_shape[0]
    free = isinstance(own, str) or (own == 1 and frames_apart(model.data))
    return list(wanted) if free else [int(own)]


def start(path: Path, provider: str) -> dict[str, str]:
    """On what the model runs, and its precision; raises ``ProviderError`` where ``provider`` does not start."""
    backend = nvidia.Gpu(load(path), provider)
    return {"runs on": backend.provider, "precision": read_precision(path)}


def bare(path: Path, loop: Loop, settings: CardSettings) -> dict[str, Any]:
    """The limit: the session in a loop on buffers bound once, nothing copied."""
    settings.apply()
    model, (width, height) = load(path), read_size(path)
    provider, batch, graphs = loop.provider, loop.batch, loop.graphs
    data = edit.with_input(model.data, (batch, 3, height, width), uint16=False)
    if provider != "cpu":
        nvidia.Gpu(model, provider)  # loads the libraries
    wanted = nvidia.providers(model, provider, (batch, 3, height, width), graphs=graphs)
    session = create_session(model, data, wanted, {}, 1)
    device = "cpu" if provider == "cpu" else "cuda"
    values = np.random.default_rng(0).standard_normal((batch, 3, height, width), np.float32)
    frames = onnxruntime.OrtValue.ortvalue_from_numpy(values, device, 0)
    plain, own = onnxruntime.RunOptions(), onnxruntime.RunOptions()
    plain.add_run_config_entry("gpu_graph_id", "-1")
    own.add_run_config_entry("gpu_graph_id", "1" if graphs else "-1")
    expected = session.run(None, {session.get_inputs()[0].name: values}, plain)[0]
    maps = onnxruntime.OrtValue.ortvalue_from_shape_and_type(expected.shape, np.float32, device, 0)
    binding = session.io_binding()
    binding.bind_ortvalue_input(session.get_inputs()[0].name, frames)
    binding.bind_ortvalue_output(session.get_outputs()[0].name, maps)
    rate = batch * _measure_rate(lambda: session.run_with_iobinding(binding, own), loop.seconds)
    return {"frames_per_second": rate, "maps": float(maps.numpy().mean())}


def there_and_back(path: Path, loop: Loop, uint16: bool) -> dict[str, Any]:
    """The engine's way with ready frames, two calls at once: copies there, normalisation, the model, copies back.

    With ``uint16`` frames cross in 16 bits and are normalised on the card; else float32 crosses, normalised here.
    """
    backend = nvidia.Gpu(load(path), loop.provider, uint16=uint16, graphs=loop.graphs)
    width, height = read_size(path)
    compiled = backend.compile((loop.batch, 3, height, width), GPU_CALLS_AT_ONCE)
    frames = np.random.default_rng(0).integers(0, 65536, (loop.batch, 3, height, width), np.uint16)
    begin = threading.Barrier(GPU_CALLS_AT_ONCE)

    def call_again_and_again(_: int) -> float:
        begin.wait()
        return _measure_rate(lambda: compiled(frames), loop.seconds)

    with ThreadPoolExecutor(GPU_CALLS_AT_ONCE) as callers:
        rate = loop.batch * sum(callers.map(call_again_and_again, range(GPU_CALLS_AT_ONCE)))
    return {"frames_per_second": rate, "remark": compiled.remark}


def agreement(path: Path, parent: Path, loop: Loop, clips: Sequence[Path], settings: CardSettings) -> dict[str, Any]:
    """How far the maps of real frames are from those of ``parent`` on the CPU, and which gates they miss.

    ``parent`` is the model that ``path`` was made from, or the same file. Of ``loop`` provider and batch count.
    """
    settings.apply()
    model, (width, height), provider, batch = load(path), read_size(path), loop.provider, loop.batch
    frames = _decode_frames(clips, width, height, batch)
    card = nvidia.Gpu(model, provider, uint16=settings.uint16).compile((batch, 3, height, width), 1)
    loaded = OnnxRuntime(load(parent), "float32", 1)
    alone = batch if loaded.input_shape[0] not in {1, None} else 1
    processor = loaded.compile((alone, 3, height, width), 1)
    maps, again = (card(frames).reshape(batch, -1).copy() for _ in range(2))
    expected = np.concatenate([processor(frames[n : n + alone]).copy() for n in range(0, batch, alone)])
    figures = compare(expected.reshape(batch, -1), maps)
    full = provider != "cpu" and not edit.in_half_precision(model.data)
    bounds = gate("float32", read_graph(model.data).operators, float32_on_card=full)
    repeats = bool(np.array_equal(maps, again, equal_nan=True))
    return {**asdict(figures), "parent": parent.stem, "repeats": repeats, "misses": bounds.misses(figures)}


def _measure_rate(step: Callable[[], object], seconds: float) -> float:
    """Steps per second, after a few to warm up."""
    for _ in range(_WARM_UP):
        step()
    started, steps = time.perf_counter(), 0
    while (elapsed := time.perf_counter() - started) < seconds or not steps:
        step()
        steps += 1
    return steps / elapsed


def _decode_frames(clips: Sequence[Path], width: int, height: int, count: int) -> NDArray[np.uint16]:
    """``count`` frames of the clips, repeated where there are fewer."""
    locator = Locator(RunConfig(model="frequency_tuned_v1"))
    spec = DecodeSpec(width=width, height=height, sampling=Head(8, 8), color="auto")
    decoded = [decode_frames(locator.locate(ClipReference(str(clip))), spec)[0] for clip in clips]
    frames = np.concatenate(decoded)
    return frames[np.arange(count) % len(frames)]


def read_size(path: Path) -> tuple[int, int]:
    """(width, height) of the model's input, ``SIZE`` where they are free."""
    height, width = read_graph(path.read_bytes()).input_shape[2:]
    return (width, height) if isinstance(width, int) and isinstance(height, int) else SIZE


def read_precision(path: Path) -> str:
    """``float32``, ``float16`` or ``int8``."""
    data = path.read_bytes()
    if "QuantizeLinear" in read_graph(data).operators:
        return "int8"
    return "float16" if edit.in_half_precision(data) else "float32"
