"""What more aggregators and alphas cost a run of several models: processor time of the process that runs them.

    python bench/points.py MODEL.onnx [MODEL.onnx …] [--clips 24] [--size 640x360] [--rounds 3] [--output FOLDER]

The models alone, each with `mean`, against the same with five aggregators and three alphas of ema, interleaved; then
once more with another alpha, from the memo. Processor time, because it is the same on a busy machine; decoding is
not in it, and the same for both. The bar: the median of the ratios is at most 1.05.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

from harness.inputs import make_clips
from harness.results import RESULTS, save

from saliency_engine.jobs.points import expand
from saliency_engine.jobs.run import run_sweep

ALL = ("mean", "max", "motion-weighted", "motion-balanced", "ema:0.2", "ema:0.6", "ema:0.9")
BAR = 1.05


def main() -> None:
    """Measure, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", help="ONNX files or ids")
    parser.add_argument("--clips", type=int, default=24)
    parser.add_argument("--size", default="640x360")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder for the JSON file")
    asked = parser.parse_args()
    width, height = map(int, asked.size.split("x"))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_clips(folder, asked.clips, width, height)
        memo = str(folder / "memo.sqlite")
        _measure(folder, asked.models, ("mean",), memo)  # loads libraries and kernels, and fills the memo
        pairs = [
            (_measure(folder, asked.models, ("mean",), "off"), _measure(folder, asked.models, ALL, "off"))
            for _ in range(asked.rounds)
        ]
        again = _measure(folder, asked.models, ("ema:0.35",), memo)
    alone, sweep = (statistics.median(pair[place] for pair in pairs) for place in (0, 1))
    ratio = statistics.median(pair[1] / pair[0] for pair in pairs)
    print(
        f"{len(asked.models)} models, {asked.clips} clips of {asked.size}: processor seconds, medians of {asked.rounds}"
    )
    verdict = "met" if ratio <= BAR else "missed"
    print(f"mean alone {alone:.2f}, {len(ALL)} points each {sweep:.2f}: {ratio:.3f}, {verdict}")
    print(f"a new alpha, from the memo: {again:.2f}")
    figures = {"alone": round(alone, 2), "sweep": round(sweep, 2), "ratio": round(ratio, 3), "again": round(again, 2)}
    settings = {
        "models": [Path(model).stem for model in asked.models],
        "clips": asked.clips,
        "size": asked.size,
        "rounds": asked.rounds,
    }
    save("points", {**settings, **figures}, asked.output)


def _measure(folder: Path, models: list[str], aggregators: tuple[str, ...], memo: str) -> float:
    options = {"input": str(folder), "output": str(folder / "out" / "{model_id}.{aggregator}.jsonl"), "quiet": True}
    job, points = expand({**options, "model": tuple(models), "temporal_aggregator": aggregators, "memo": memo})
    started = time.process_time()
    run_sweep(job, points)
    return time.process_time() - started


if __name__ == "__main__":
    main()
