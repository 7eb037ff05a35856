"""What the columns of `--extra` cost: processor time of a clip with them and without, in turns.

    python bench/extras.py [MODEL.onnx …] [--sizes 960x540 1920x1080] [--frames 250] [--rounds 5] [--output FOLDER]

Without a model it measures the built-in one. The clips have so many frames, of which the usual eight are sampled. A
clip is decoded, modelled and measured in this process, as a worker and the model's threads do. Ratios are medians over
clips and rounds, each of two measurements that follow one another, in turns the one first and the other. `decoding`
leaves the model out.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.inputs import make_clips
from harness.results import RESULTS, save

from saliency_engine.config import RunConfig
from saliency_engine.inference.session import Session, open_session
from saliency_engine.models.load import load_model
from saliency_engine.pipeline.one_clip import as_reference, model_clip
from saliency_engine.storage.locate import Locator
from saliency_engine.types import decode_spec
from saliency_engine.video.decode import decode_frames, silence

CASES = (("luma",), ("texture",), ("spread",), ("luma", "texture", "spread"), ("shots",))


def main() -> None:
    """Run every case and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", type=Path, help="ONNX files")
    parser.add_argument("--sizes", nargs="+", default=["960x540", "1920x1080"])
    parser.add_argument("--frames", type=int, default=250)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder for the JSON file")
    arguments = parser.parse_args()
    silence()
    configs = [RunConfig(model_path=str(path)) for path in arguments.models] or [RunConfig(model="saliency_open_v1")]
    results = []
    print("| clips | `--extra` | decoding | with | with the model |\n|---|---|---:|---|---:|")
    with tempfile.TemporaryDirectory() as folder:
        for size in arguments.sizes:
            width, height = map(int, size.split("x"))
            clips = make_clips(Path(folder), 4, width, height, arguments.frames)
            for config in configs:
                model = load_model(config)
                with closing(open_session(model, config)) as session:
                    for extra in CASES:
                        figures = _measure(clips, replace(config, extra=extra), session, arguments.rounds)
                        results.append({"size": size, "model": model.model_id, "extra": extra, **figures})
                        print(_format_line(results[-1]), flush=True)
    save("extras", {"frames": arguments.frames, "rounds": arguments.rounds, "results": results}, arguments.output)


def _measure(clips: list[Path], config: RunConfig, session: Session, rounds: int) -> dict[str, float]:
    decoding, whole = [], []
    for number in range(rounds + 1):
        for clip in clips:
            pairs = [_pair(work, clip, config, session, number % 2) for work in (_decode, _compute)]
            if number:  # the first loads what is needed
                decoding.append(pairs[0])
                whole.append(pairs[1])
    figures = {"decoding": decoding, "whole": whole}
    return {
        f"{name}_ratio": round(statistics.median(w / p for p, w in pairs), 4) for name, pairs in figures.items()
    } | {f"{name}_ms": round(1e3 * statistics.median(w - p for p, w in pairs), 2) for name, pairs in figures.items()}


def _pair(
    work: Callable[[Path, RunConfig, Session], object], clip: Path, config: RunConfig, session: Session, first: int
) -> tuple[float, float]:
    """Processor seconds without and with ``config.extra``; ``first`` is 1 where the latter are measured first."""
    seconds = [0.0, 0.0]
    for place in (first, 1 - first):
        each = config if place else replace(config, extra=())
        started = time.process_time()
        work(clip, each, session)
        seconds[place] = time.process_time() - started
    return seconds[0], seconds[1]


def _decode(clip: Path, config: RunConfig, session: Session) -> object:
    request = replace(Locator(config).locate(as_reference(clip)), extra=config.extra)
    return decode_frames(request, decode_spec(config, session.width, session.height))


def _compute(clip: Path, config: RunConfig, session: Session) -> object:
    return model_clip(as_reference(clip), session, config)


def _format_line(result: dict[str, Any]) -> str:
    first = f"| {result['size']} | {', '.join(result['extra'])} | {result['decoding_ratio']:.3g}"
    return f"{first} | {result['model']} | {result['whole_ratio']:.3g} (+{result['whole_ms']:.3g} ms) |"


if __name__ == "__main__":
    main()
