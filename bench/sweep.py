"""Whether `--decode-workers auto` and `--threads auto` are the best settings: a grid of both, interleaved.

    python bench/sweep.py MODEL.onnx [--sizes 960x540 1920x1080] [--engine cpu] [--workers 1 2 3] [--threads 1 2 3]
        [--clips 16] [--rounds 5] [--output FOLDER]

Figures are medians over the rounds. `of auto` is the median of the round-by-round ratios to `auto, auto`: 1.05 means
that the setting was 5% faster than what the engine chooses by itself. That is the bar: no setting may be faster still.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
from pathlib import Path
from typing import Any

from harness import peers
from harness.inputs import make_clips
from harness.race import Contender, race
from harness.results import RESULTS, save

AUTO = "auto, auto"
BAR = 1.05


def main() -> None:
    """Measure the grid at every size and print a Markdown table for each."""
    cores = len(os.sched_getaffinity(0))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="ONNX file")
    parser.add_argument("--sizes", nargs="+", default=["960x540", "1920x1080"])
    parser.add_argument("--engine", default="cpu", metavar="PROVIDER[:PRECISION]")
    parser.add_argument("--workers", nargs="+", type=int, default=sorted({1, cores, cores + 1, 2 * cores}))
    parser.add_argument("--threads", nargs="+", type=int, default=sorted({max(1, cores - 1), cores, cores + 1}))
    parser.add_argument("--clips", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder for the JSON file")
    arguments = parser.parse_args()
    contenders = _list_settings(arguments)
    for size in arguments.sizes:
        width, height = map(int, size.split("x"))
        with tempfile.TemporaryDirectory() as folder:
            *clips, spare = make_clips(Path(folder), arguments.clips + 1, width, height)
            turns = race(contenders, arguments.rounds, clips, spare)
        seconds = {name: [turn.seconds for turn in each] for name, each in turns.items()}
        rates = {name: round(len(clips) / statistics.median(each), 3) for name, each in seconds.items()}
        ratios = {
            name: round(statistics.median(a / b for a, b in zip(seconds[AUTO], each, strict=True)), 3)
            for name, each in seconds.items()
        }
        asked = {"model": arguments.model.stem, "engine": arguments.engine, "size": size, "clips": arguments.clips}
        result = {**asked, "rounds": arguments.rounds, "clips_per_second": rates, "of_auto": ratios}
        print(_markdown(result), flush=True)
        name = f"sweep_{arguments.model.stem}_{arguments.engine.replace(':', '_')}_{size}"
        save(name, result, arguments.output)


def _list_settings(arguments: argparse.Namespace) -> list[Contender]:
    provider, _, precision = arguments.engine.partition(":")
    options = {
        "model_path": str(arguments.model),
        "provider": provider,
        "precision": precision or "float32",
        "memo": "off",
    }
    settings: list[tuple[Any, Any]] = [("auto", "auto")]
    settings += [(workers, threads) for workers in arguments.workers for threads in arguments.threads]
    return [
        Contender(f"{workers}, {threads}", peers.OurEngine, {**options, "decode_workers": workers, "threads": threads})
        for workers, threads in settings
    ]


def _markdown(result: dict[str, Any]) -> str:
    best = max(result["of_auto"].values())
    lines = [f"\n{result['size']}: the best is {best:.3f} of auto: {'met' if best <= BAR else 'missed'}", ""]
    lines += ["| decode workers, threads | clips/s | of auto |", "|---|---:|---:|"]
    for name, rate in sorted(result["clips_per_second"].items(), key=lambda item: -item[1]):
        lines.append(f"| {name} | {rate} | {result['of_auto'][name]:.3f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
