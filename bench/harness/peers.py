"""What a benchmark sets side by side: the engine, and the other ways to the same table, each written plainly.

Each way is made once, with its model, and then called with clip paths. It returns (mean, variance) of every clip, so
that a benchmark can check that it compares like with like. Its ``clock`` holds the seconds of its stages.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from saliency_engine.config import RunConfig
from saliency_engine.numerics import reference
from saliency_engine.pipeline.clock import Clock
from saliency_engine.pipeline.one_clip import as_reference
from saliency_engine.pipeline.outcomes import DecodedInRing
from saliency_engine.pipeline.pool import DecodePool
from saliency_engine.storage.locate import Locator
from saliency_engine.types import decode_spec

FRAMES = 8
SIZE = (320, 320)
Result = tuple[float, float]


class OurEngine:
    """One ``Engine``, warm; ``options`` are those of ``RunConfig``."""

    def __init__(self, **options: Any) -> None:
        from saliency_engine import Engine, RunConfig  # noqa: PLC0415  each way loads what it uses, and nothing else

        self._engine = Engine(RunConfig(**options))
        self.clock = self._engine.clock

    def __call__(self, clips: Sequence[Path]) -> list[Result]:
        for clip in clips:
            os.utime(clip)  # the engine keeps results in memory; a clip that was touched is another clip to it
        batches = list(self._engine.process([pa.record_batch({"src": [str(clip) for clip in clips]})]))
        rows = pa.Table.from_batches(batches)
        return list(zip(rows["saliency_mean"].to_pylist(), rows["saliency_var"].to_pylist(), strict=True))


class DecodersAlone:
    """The other limit: the engine's ``workers`` decoding processes, and nobody who takes the frames; no results."""

    def __init__(self, workers: int) -> None:
        config = RunConfig(model="saliency_open_v1")
        spec = decode_spec(config, *SIZE)
        self._locator, self._pool = Locator(config), DecodePool(spec, workers, 2 * workers, config.clip_timeout)
        self.clock = Clock()

    def __call__(self, clips: Sequence[Path]) -> list[Result]:
        pending, done = list(clips), 0
        while done < len(clips):
            while pending and self._pool.ready:
                self._pool.submit(self._locator.locate(as_reference(pending.pop())))
            wait(self._pool.connections)
            for clip in self._pool.collect():
                assert isinstance(clip, DecodedInRing)
                self._pool.release(clip.ring_slot)
                done += 1
        return []


class OneSession:
    """A library's way: one process, one session for all clips, a frame at a time, no overlap."""

    def __init__(self, model: Path, threads: int) -> None:
        self._model = _OnnxRuntime(model, threads)
        self.clock = Clock()

    def __call__(self, clips: Sequence[Path]) -> list[Result]:
        return [_clip(clip, SIZE, self._model, self.clock) for clip in clips]


class RowAtATime:
    """A script's way: per clip the first frames decoded to raw planes, a new session, frame by frame, numpy.

    ``size`` is (width, height) to resize to, ``None`` for the clip's own (which the students take where the height is a
    multiple of 8). ``provider`` is ONNX Runtime's.
    """

    def __init__(
        self, model: Path, threads: int, size: tuple[int, int] | None, provider: str = "CPUExecutionProvider"
    ) -> None:
        self._model, self._threads, self._size, self._provider = model, threads, size, provider
        self.clock = Clock()

    def __call__(self, clips: Sequence[Path]) -> list[Result]:
        results = []
        for clip in clips:
            with self.clock("session"):
                session = _OnnxRuntime(self._model, self._threads, self._provider)
            results.append(_clip(clip, self._size, session, self.clock))
        return results


class TorchEager:
    """Torch itself: upstream's U2NETP from a checkout with a checkpoint's weights, eager, a frame at a time.

    The checkout's code runs in this process: give a checkout that you trust.
    """

    def __init__(self, module: Path, checkpoint: Path, threads: int) -> None:
        import torch  # noqa: PLC0415

        from saliency_exporter.u2netp import torch_export  # noqa: PLC0415

        torch.set_num_threads(threads)
        network = torch_export.build_network(module, _sha256(module))
        torch_export.load_weights(network, torch_export.read_state(checkpoint, _sha256(checkpoint)), strict=True)
        self._torch, self._network = torch, torch_export.SaliencyOnly(network).eval()
        self.clock = Clock()

    def __call__(self, clips: Sequence[Path]) -> list[Result]:
        return [_clip(clip, SIZE, self._run, self.clock) for clip in clips]

    def _run(self, frame: NDArray[np.float32]) -> NDArray[np.float32]:
        with self._torch.inference_mode():
            return np.asarray(self._network(self._torch.from_numpy(frame)).numpy())


class BareModel:
    """The limit: the model alone, in a loop over a ready tensor; it returns no results.

    ``library`` is ``cpu`` (ONNX Runtime) or ``openvino``, ``precision`` as the engine's.
    """

    def __init__(self, model: Path, threads: int, library: str, precision: str) -> None:
        self._run = _OnnxRuntime(model, threads) if library == "cpu" else _OpenVino(model, threads, precision)
        self._frame = np.random.default_rng(0).standard_normal((1, 3, SIZE[1], SIZE[0])).astype(np.float32)
        self.clock = Clock()

    def __call__(self, clips: Sequence[Path]) -> list[Result]:
        with self.clock("model"):
            for _ in range(FRAMES * len(clips)):
                self._run(self._frame)
        return []


class _OnnxRuntime:
    """A plain session, as a script would make it."""

    def __init__(self, model: Path, threads: int, provider: str = "CPUExecutionProvider") -> None:
        import onnxruntime  # noqa: PLC0415

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self._session = onnxruntime.InferenceSession(model, options, providers=[provider])

    def __call__(self, frame: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(self._session.run(None, {"input": frame})[0])


class _OpenVino:
    """A plain compiled model of one frame, all threads on it."""

    def __init__(self, model: Path, threads: int, precision: str) -> None:
        from saliency_engine.inference import open_vino  # noqa: F401, PLC0415  it loads openvino without its telemetry

        # isort: split
        import openvino  # noqa: PLC0415

        core = openvino.Core()
        graph = core.read_model(model)
        graph.reshape([1, 3, SIZE[1], SIZE[0]])
        hint = {"float32": "f32", "bfloat16": "bf16"}[precision]
        settings = {"INFERENCE_PRECISION_HINT": hint, "INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"}
        self._request = core.compile_model(graph, "CPU", settings).create_infer_request()

    def __call__(self, frame: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(self._request.infer({0: frame})[0])


def _clip(clip: Path, size: tuple[int, int] | None, run: Any, clock: Clock) -> Result:
    """Mean and variance of one clip's mean map, one frame after the other."""
    maps = []
    for frame in _head(clip, size, clock):
        with clock("normalize"):
            tensor = _normalized(frame)
        with clock("model"):
            maps.append(run(tensor)[0, 0])
    with clock("aggregate"):
        result = np.clip(np.stack(maps).astype(np.float64).mean(axis=0), 0.0, 1.0)
        return float(result.mean()), float(result.var())


def _head(clip: Path, size: tuple[int, int] | None, clock: Clock) -> Iterator[av.VideoFrame]:
    with av.open(str(clip)) as container:
        frames = container.decode(video=0)
        for _ in range(FRAMES):
            with clock("decode"):
                frame = next(frames, None)
                if frame is None:
                    return
                width, height = size or (frame.width, frame.height)
                frame = frame.reformat(width, height, "yuv420p", interpolation="BILINEAR", threads=1)
            yield frame


def _normalized(frame: av.VideoFrame) -> NDArray[np.float32]:
    """8-bit 4:2:0 BT.709 limited to the model's input, chroma repeated, in numpy."""
    y, u, v = (
        np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, -1)[:, : plane.width].astype(np.float32)
        for plane in frame.planes
    )
    u, v = (np.repeat(np.repeat(chroma, 2, 0), 2, 1)[: frame.height, : frame.width] for chroma in (u, v))
    luma, cb, cr = (y - 16.0) / 219.0, (u - 128.0) / 224.0, (v - 128.0) / 224.0
    rgb = np.stack([luma + 1.5748 * cr, luma - 0.18732427 * cb - 0.46812427 * cr, luma + 1.8556 * cb])
    return reference.normalize(np.clip(rgb, 0.0, 1.0)[None])


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
