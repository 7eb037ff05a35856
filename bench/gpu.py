"""All measurements on a graphics card, as one script: what the card can do, and how near the engine comes to it.

    python bench/gpu.py u2netp.onnx u2netp_fp16.onnx saliency_student_v2.onnx saliency_student_v2_fp16.onnx
        [--provider cuda|tensorrt|cpu] [--batches 1 8 16 32] [--workers N …] [--rounds 3] [--seconds 1]
        [--output FOLDER]

It needs an NVIDIA card, its driver 580 or newer and `pip install 'saliency-batch[cuda]'`. A model with which the
provider does not start has one line that says why, and so have models in int8. `--provider cpu` is a dry run: the same
script on ONNX Runtime's CPU provider. For each model:

- checks of what the engine takes for granted: the start, calls at once, copies, waits, no cuDNN, no memory, and what
  moves its numbers: frames normalised here, tensor cores asked for, with and without NVIDIA_TF32_OVERRIDE=0;
- agreement with ONNX Runtime on the CPU, for X_fp16.onnx with X.onnx where that is given, too;
- the bare loop (the session on buffers bound once, nothing copied: the limit), with and without CUDA graphs, by batch;
- the engine's way there and back with ready frames, normalised there (16 bits cross) and here (float32 crosses);
- what other settings of the card would give; the engine has channels first for float32 and channels last
  for half precision;
- end to end on 540p clips, by batch and number of decoders: frames/s, share of the bare loop, and what the limit was:
  the model where it was at work 90% of the time, the decoders where they were, else the engine's own loop;
- the row-at-a-time script, with a new session for each clip.

Every measurement has a process of its own, so that a crash costs one line of a table, and what is measured is written
after every part.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness import gpu_checks, gpu_loops, gpu_report, peers
from harness.alone import run_alone
from harness.gpu_loops import CardSettings, Loop
from harness.inputs import make_clips
from harness.results import RESULTS, save

from saliency_engine.inference.nvidia import CUDA
from saliency_engine.jobs.bench.stopwatch import Job, time_round
from saliency_engine.types import ClipReference

_AT_WORK = 0.9
_SETTINGS: Mapping[str, CardSettings] = {
    "as the engine runs it": CardSettings(),
    "convolutions chosen by timing": CardSettings({"cudnn_conv_algo_search": "EXHAUSTIVE"}),
    "channels first": CardSettings({"prefer_nhwc": "0", "fuse_conv_bias": "0"}),
    "channels last": CardSettings({"prefer_nhwc": "1", "fuse_conv_bias": "0"}),
    "channels last, fused bias": CardSettings({"prefer_nhwc": "1", "fuse_conv_bias": "1"}),
    "channels first, fused bias": CardSettings({"prefer_nhwc": "0", "fuse_conv_bias": "1"}),
    "without tensor cores": CardSettings({"use_tf32": "0"}),
    "with TF32": CardSettings({"use_tf32": "1"}, override=False),
}
_NUMBERS: Mapping[str, CardSettings] = {
    "without tensor cores, no override": CardSettings({"use_tf32": "0"}, override=False),
    "tensor cores, override": CardSettings({"use_tf32": "1"}),
    "tensor cores, no override": CardSettings({"use_tf32": "1"}, override=False),
}
"""Whether the provider's option or the override alone keeps TF32 out, and how far off it is where both let it in."""
_NEVER_CAPTURED = "channels first, fused bias"  # it must not be


def main() -> None:
    """Measure every model, print Markdown, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", type=Path, metavar="MODEL.onnx")
    parser.add_argument("--provider", default="cuda", choices=["cuda", "tensorrt", "cpu"])
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 8, 16, 32])
    parser.add_argument("--workers", nargs="+", type=int, default=_choose_worker_counts())
    parser.add_argument("--rounds", type=int, default=3, help="of the end-to-end measurements; medians are printed")
    parser.add_argument("--seconds", type=float, default=1.0, help="of every loop")
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder for the JSON file")
    arguments = parser.parse_args()
    results: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        clips = make_clips(Path(folder), 12, 960, 540, 12)
        for model in arguments.models:
            result = {"model": model.stem, **run_alone(_start, model, arguments.provider)}
            results.append(result)
            _save(results, arguments)
            for name, measure in [] if "failed" in result else _list_parts(model, clips, arguments):
                result[name] = _try_part(measure)
                _save(results, arguments)
            print(gpu_report.markdown(result), flush=True)
    if all("failed" in result for result in results):
        sys.exit(1)


def _save(results: Sequence[Mapping[str, Any]], arguments: argparse.Namespace) -> None:
    save(f"gpu_{arguments.provider}", {"provider": arguments.provider, "models": results}, arguments.output)


def _list_parts(
    model: Path, clips: Sequence[Path], arguments: argparse.Namespace
) -> list[tuple[str, Callable[[], Any]]]:
    """The parts of a model's measurements by name, in order."""
    provider, batches = arguments.provider, gpu_loops.batches(model, arguments.batches)
    parent = _find_parent(model, arguments.models)
    on_cuda, seconds, most = provider == "cuda", arguments.seconds, batches[-1]
    loops: list[dict[str, Any]] = []  # what is behind them is compared with them
    wanted = [
        Loop(provider, batch, graphs, seconds)
        for batch in batches
        for graphs in ([False, True] if on_cuda else [False])
    ]
    runs = [
        {"model_path": str(model), "provider": provider, "batch_size": batch, "decode_workers": workers}
        for batch in dict.fromkeys([min(batches, key=lambda batch: abs(batch - 8)), most])
        for workers in arguments.workers
    ]

    def measure_loops() -> list[dict[str, Any]]:
        loops.extend(_measure_ways(model, loop) for loop in wanted)
        return loops

    def measure_end_to_end() -> list[dict[str, Any]]:
        measured = [_measure_end_to_end(options, clips, arguments.rounds) for options in runs]
        return [{**run, "of the bare loop": _compute_share(run, loops)} for run in measured]

    plain = Loop(provider, most, False, seconds)
    return [
        ("checks", lambda: _check(model, provider, batches, seconds) | _check_numbers(model, parent, plain, clips)),
        ("agreement", lambda: run_alone(gpu_loops.agreement, model, parent, plain, clips, CardSettings())),
        ("loops", measure_loops),
        ("settings", lambda: _measure_settings(model, plain) if on_cuda else {}),
        ("row at a time", lambda: run_alone(_time_row_at_a_time, model, provider, clips[:3])),
        ("end to end", measure_end_to_end),
    ]


def _find_parent(model: Path, models: Sequence[Path]) -> Path:
    """The model in float32 that ``model`` was made from, where it is one of ``models``; else ``model`` itself."""
    return next((other for other in models if other.stem == model.stem.removesuffix("_fp16")), model)


def _measure_settings(model: Path, loop: Loop) -> dict[str, Any]:
    """The bare loop with settings of the card, without CUDA graphs and with them."""
    return {
        f"{name}{', CUDA graphs' * graphs}": run_alone(gpu_loops.bare, model, replace(loop, graphs=graphs), settings)
        for graphs in (False, True)
        for name, settings in _SETTINGS.items()
        if not (graphs and name == _NEVER_CAPTURED)
    }


def _check(model: Path, provider: str, batches: Sequence[int], seconds: float) -> dict[str, Any]:
    """What the engine takes for granted."""
    most, on_card = batches[-1], provider != "cpu"
    loop = Loop(provider, most, provider == "cuda", seconds)
    checks = {f"start, batch {batch}": run_alone(gpu_checks.start, model, provider, batch) for batch in batches}
    checks["calls at once"] = run_alone(gpu_checks.calls_at_once, model, provider, most)
    checks["copies, GB/s"] = run_alone(gpu_checks.copies, model, provider, most)
    checks["spinning waits"] = run_alone(gpu_checks.waits, model, loop, False)
    if on_card:
        checks["blocking waits"] = run_alone(gpu_checks.waits, model, loop, True)
        checks["without cuDNN (must fail)"] = run_alone(gpu_checks.start_without_cudnn, model, provider, most)
        checks["without memory (must fail)"] = run_alone(gpu_checks.start_without_memory, model, provider, most)
    return checks


def _check_numbers(model: Path, parent: Path, loop: Loop, clips: Sequence[Path]) -> dict[str, Any]:
    """What may move the maps: how frames are normalised, and on CUDA TF32; TensorRT knows the override alone."""
    wanted = {"normalised here": CardSettings(uint16=False)}
    if loop.provider == "cuda":
        wanted |= _NUMBERS
    elif loop.provider == "tensorrt":
        wanted["no override"] = CardSettings(override=False)
    return {
        f"numbers, {name}": run_alone(gpu_checks.numbers, model, parent, loop, clips, settings)
        for name, settings in wanted.items()
    }


def _start(model: Path, provider: str) -> dict[str, str]:
    started = gpu_loops.start(model, provider)
    if provider != "cpu" and started["precision"] == "int8":
        return {**started, "failed": "models in int8 are not for cards"}
    return started


def _try_part(measure: Callable[[], Any]) -> Any:
    try:
        return measure()
    except Exception as error:  # noqa: BLE001  the other parts are worth having
        return {"failed": f"{type(error).__name__}: {error}"}


def _measure_ways(model: Path, loop: Loop) -> dict[str, Any]:
    """The bare loop, and the engine's way there and back with both ways of normalising."""
    measured = {
        "bare": run_alone(gpu_loops.bare, model, loop, CardSettings()),
        "normalised there": run_alone(gpu_loops.there_and_back, model, loop, True),
        "normalised here": run_alone(gpu_loops.there_and_back, model, loop, False),
    }
    return {"batch": loop.batch, "CUDA graphs": loop.graphs, **measured}


def _measure_end_to_end(options: Mapping[str, Any], clips: Sequence[Path], rounds: int) -> dict[str, Any]:
    turns = [run_alone(_time_engine, options, clips) for _ in range(rounds)]
    good = [turn for turn in turns if "failed" not in turn]
    asked = {"batch": options["batch_size"], "workers": options["decode_workers"]}
    if not good:
        return {**asked, **turns[0]}
    median = {name: statistics.median(turn[name] for turn in good) for name in good[0]}
    at_work = {"the model": median["infer"], "the decoders": median["decode"]}
    limit = next((name for name, share in at_work.items() if share >= _AT_WORK), "the engine's loop")
    return {**asked, **median, "limit": limit}


def _time_engine(options: Mapping[str, Any], clips: Sequence[Path]) -> dict[str, float]:
    timing = time_round(Job(options, [ClipReference(str(clip)) for clip in clips]))
    rates = {"frames_per_second": timing.frames_per_second, "clips_per_second": timing.clips_per_second}
    return {**rates, "decode": timing.busy["decode"], "infer": timing.busy["infer"]}


def _time_row_at_a_time(model: Path, provider: str, clips: Sequence[Path]) -> dict[str, float]:
    name = "CPUExecutionProvider"
    if provider != "cpu":
        gpu_loops.start(model, "cuda")  # loads the libraries
        name = CUDA
    way = peers.RowAtATime(model, 0, peers.SIZE, name)
    way(clips[:1])
    started = time.perf_counter()
    way(clips)
    return {"clips_per_second": len(clips) / (time.perf_counter() - started)}


def _compute_share(run: Mapping[str, Any], loops: Sequence[Mapping[str, Any]]) -> float | None:
    """The run's frames/s ÷ those of the fastest bare loop with the same batch."""
    bare = [loop["bare"] for loop in loops if loop["batch"] == run["batch"]]
    limits = [loop["frames_per_second"] for loop in bare if "failed" not in loop]
    return run["frames_per_second"] / max(limits) if limits and "failed" not in run else None


def _choose_worker_counts() -> list[int]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return sorted({max(1, cores // 4), max(1, cores // 2), cores, cores * 3 // 2})


if __name__ == "__main__":
    main()
