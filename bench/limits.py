"""How near the engine is to its two limits: its decoders alone, and the model alone.

    python bench/limits.py [MODEL.onnx …] [--sizes 960x540 1920x1080] [--clips 16] [--rounds 3] [--output FOLDER]

Without a model it takes the built-in one. It is a race (see harness/race.py) over H.264 clips, of which eight head
frames are taken: the engine, its decoding processes with nobody who takes the frames, and the bare model on a ready
tensor, each with all cores. The bar is 0.9 of the slower one. Where decoders and model share the cores, both together
leave less than that: what they leave stands beside it. It can be passed, because the engine runs frames side by side,
which is faster than one frame on all cores.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from harness import peers
from harness.inputs import make_clips
from harness.race import Contender, Turn, race
from harness.results import RESULTS, save

from saliency_engine.config import RunConfig
from saliency_engine.inference.session import open_session
from saliency_engine.models.load import load_model
from saliency_engine.numerics.aggregate import measure

BUILT_IN = Path(__file__).resolve().parent.parent / "engine" / "saliency_engine" / "assets" / "saliency_open_v1.onnx"
SETTINGS = (("cpu", "float32"), ("openvino", "float32"), ("openvino", "bfloat16"))
BAR = 0.9


def main() -> None:
    """Race, print Markdown tables, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", type=Path, help="ONNX files")
    parser.add_argument("--sizes", nargs="+", default=["960x540", "1920x1080"])
    parser.add_argument("--clips", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder for the JSON file")
    arguments = parser.parse_args()
    models = arguments.models or [BUILT_IN]
    computing = [_measure_computing(model, arguments.rounds) for model in models]
    limits = [figures for model in models for size in arguments.sizes for figures in _race(model, size, arguments)]
    asked = {"clips": arguments.clips, "rounds": arguments.rounds}
    save("limits", {**asked, "computing_ms": computing, "limits": limits}, arguments.output)


def _measure_computing(path: Path, rounds: int) -> dict[str, Any]:
    """Milliseconds a clip of the model in each setting, all cores, and of the aggregation."""
    results: dict[str, Any] = {"model": path.stem}
    frames = np.zeros((peers.FRAMES, 3, peers.SIZE[1], peers.SIZE[0]), np.uint16)
    for provider, precision in SETTINGS:
        config = RunConfig(model_path=str(path), provider=provider, precision=precision)
        with closing(open_session(load_model(config), config)) as session:
            maps = np.zeros((peers.FRAMES, session.map_height, session.map_width), np.float32)
            results[f"{provider} {precision}"] = _median_ms(lambda: session.run(frames, maps), rounds)  # noqa: B023
    measured = np.random.default_rng(0).random((peers.FRAMES, peers.SIZE[1], peers.SIZE[0]), np.float32)
    results["aggregation"] = _median_ms(lambda: measure(measured, np.zeros(peers.FRAMES)), rounds)
    return results


def _median_ms(work: Callable[[], object], rounds: int) -> float:
    seconds = []
    for _ in range(rounds + 2):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return round(1e3 * statistics.median(seconds[2:]), 2)


def _race(model: Path, size: str, arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    width, height = map(int, size.split("x"))
    threads = len(os.sched_getaffinity(0))
    contenders = [Contender("decoders", peers.DecodersAlone, {"workers": threads})]
    for provider, precision in SETTINGS:
        options = {"model_path": str(model.resolve()), "memo": "off", "provider": provider, "precision": precision}
        contenders.append(Contender(f"engine {provider} {precision}", peers.OurEngine, options))
        bare = {"model": model.resolve(), "threads": threads, "library": provider, "precision": precision}
        contenders.append(Contender(f"model {provider} {precision}", peers.BareModel, bare))
    with tempfile.TemporaryDirectory() as folder:
        *clips, spare = make_clips(Path(folder), arguments.clips + 1, width, height)
        turns = race(contenders, arguments.rounds, clips, spare)
    print(f"\n{model.stem}, {size}:\n")
    print("| clips/s | decoders alone | model alone | both share the cores | engine | of the slower one | of both |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for provider, precision in SETTINGS:
        figures = _compare(turns, f"{provider} {precision}")
        print(_format_limits(f"{provider} {precision}", figures), flush=True)
        yield {"model": model.stem, "size": size, "setting": f"{provider} {precision}", **figures}


def _compare(turns: dict[str, list[Turn]], setting: str) -> dict[str, float]:
    """Rates of the median turns; shares are medians of the rounds' own."""
    names = ("decoders", f"model {setting}", f"engine {setting}")
    seconds = [[turn.seconds / turn.clips for turn in turns[name]] for name in names]
    decoders, model, engine = (1 / statistics.median(each) for each in seconds)
    rounds = list(zip(*seconds, strict=True))
    return {
        "decoders_alone": round(decoders, 3),
        "model_alone": round(model, 3),
        "shared": round(statistics.median(1 / (a + b) for a, b, _ in rounds), 3),
        "engine": round(engine, 3),
        "of_the_slower": round(statistics.median(max(a, b) / c for a, b, c in rounds), 3),
        "of_shared": round(statistics.median((a + b) / c for a, b, c in rounds), 3),
    }


def _format_limits(name: str, figures: dict[str, float]) -> str:
    rates = " | ".join(f"{figures[key]:.3g}" for key in ("decoders_alone", "model_alone", "shared", "engine"))
    met = "met" if figures["of_the_slower"] >= BAR else "missed"
    return f"| {name} | {rates} | {figures['of_the_slower']:.2f}, {met} | {figures['of_shared']:.2f} |"


if __name__ == "__main__":
    main()
