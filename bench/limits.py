"""Where a clip's time goes, and how near the engine is to its two limits: the decoders alone, and the model alone.

    python bench/limits.py [MODEL.onnx …] [--sizes 960x540 1920x1080 3840x2160] [--codecs h264 hevc vp9 av1]
        [--groups 12 60 250] [--frames 260] [--clips 16] [--rounds 3] [--output FOLDER]

Without a model it takes the built-in one. Eight frames are sampled.

The first table is of clips of every codec, size and distance of keyframes (B-frames where the codec has them), each of
so many frames: processor milliseconds a clip, on one thread, by stage, for `head` and `uniform`. `demux` is the reading
of all packets' times, which `head` does without; `decode` holds the reading of the packets that are decoded. Beside it
stands what the same clip takes where FFmpeg opens it as always and nothing is left out on the way to a frame, in turns;
the ratio is the median of such pairs. The bars: 0.6 for `uniform` with H.264 and HEVC at a keyframe every 250 frames,
and nowhere above 1.05.

The second one is a race (see harness/race.py) over H.264 clips of 540p and 1080p: the engine, its decoders alone with
nobody who takes the frames, and the bare model on a ready tensor, each with all cores. The bar is 0.9 of the slower
one. Where decoders and model share the cores, no engine can reach more than the time of both together leaves: that
share stands beside it.
"""

from __future__ import annotations

import argparse
import itertools
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, nullcontext
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from harness import peers
from harness.inputs import encode_group, make_clips
from harness.race import Contender, Turn, race
from harness.results import RESULTS, save

from saliency_engine.config import RunConfig
from saliency_engine.inference.session import open_session
from saliency_engine.models.load import load_model
from saliency_engine.numerics.aggregate import measure
from saliency_engine.pipeline.one_clip import as_reference
from saliency_engine.storage.locate import Locator
from saliency_engine.types import decode_spec
from saliency_engine.video import container, decode, demuxer, sampling, timeline
from saliency_engine.video.picture import Picture
from saliency_engine.video.spare import Spare

BUILT_IN = Path(__file__).resolve().parent.parent / "engine" / "saliency_engine" / "assets" / "saliency_open_v1.onnx"
SETTINGS = (("cpu", "float32"), ("openvino", "float32"), ("openvino", "bfloat16"))
RACED = ("960x540", "1920x1080")
STAGES = ("open", "demux", "decode", "convert", "motion")
BAR = 0.9
LONG_GROUP, FASTER, NO_SLOWER = 250, 0.6, 1.05


def main() -> None:
    """Measure, print both tables, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", type=Path, help="ONNX files")
    parser.add_argument("--sizes", nargs="+", default=["960x540", "1920x1080", "3840x2160"])
    parser.add_argument("--codecs", nargs="+", default=["h264", "hevc", "vp9", "av1"])
    parser.add_argument("--groups", nargs="+", type=int, default=[12, 60, 250])
    parser.add_argument("--frames", type=int, default=260, help="of each clip of the first table")
    parser.add_argument("--clips", type=int, default=16, help="of the race")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder for the JSON file")
    arguments = parser.parse_args()
    models = arguments.models or [BUILT_IN]
    stages = _measure_stages(arguments)
    computing = [_measure_computing(model, arguments.rounds) for model in models]
    raced = [size for size in arguments.sizes if size in RACED]
    limits = [figures for model in models for size in raced for figures in _race(model, size, arguments)]
    asked = {"frames": arguments.frames, "clips": arguments.clips, "rounds": arguments.rounds}
    save("limits", {**asked, "stages_ms": stages, "computing_ms": computing, "limits": limits}, arguments.output)


def _measure_stages(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    decode.silence()
    print("| clips | sampling | " + " | ".join(STAGES) + " | decoding in all, ms | as before, ms | ratio |")
    print("|---|---|" + "---:|" * (len(STAGES) + 3))
    lines = []
    for size, codec, group in itertools.product(arguments.sizes, arguments.codecs, arguments.groups):
        with tempfile.TemporaryDirectory() as folder:
            clip = encode_group(Path(folder), codec, size, group, arguments.frames)
            for name in ("head", "uniform"):
                if name == "head" and group != arguments.groups[0]:
                    continue  # it sees the first frames only
                lines.append({"codec": codec, "size": size, "group": group, "sampling": name})
                lines[-1] |= _measure_clip(clip, name, arguments.rounds)
                row = " | ".join(f"{lines[-1][key]:.3g}" for key in (*STAGES, "all", "before", "ratio"))
                print(f"| {codec}, {size}, {group} | {name} | {row} |", flush=True)
    for line in lines:
        clip_name = f"{line['codec']}, {line['size']}, {line['group']}"
        if line["ratio"] > (bar := _bar_of(line)):
            print(f"missed: {clip_name}, {line['sampling']}: {line['ratio']:.2f} of the time before, not {bar}")
    return lines


def _bar_of(line: dict[str, Any]) -> float:
    faster = line["sampling"] == "uniform" and line["group"] == LONG_GROUP and line["codec"] in {"h264", "hevc"}
    return FASTER if faster else NO_SLOWER


def _measure_clip(clip: Path, name: str, rounds: int) -> dict[str, float]:
    """Medians of the stages, of the whole, and of the whole as it was before, with the ratio of these two."""
    stages, pairs = [], []
    for number in range(rounds + 1):
        stages.append(_decode_by_stage(clip, name))
        pair = [0.0, 0.0]
        for place in (number % 2, 1 - number % 2):
            with _as_before() if place else nullcontext():
                pair[place] = _decode(clip, name)
        pairs.append(pair)
    del stages[0], pairs[0]  # the first ones warm up
    figures = {stage: statistics.median(turn[stage] for turn in stages) for stage in STAGES}
    whole, before = (statistics.median(pair[place] for pair in pairs) for place in (0, 1))
    ratio = statistics.median(now / then for now, then in pairs)
    return {key: round(value, 3) for key, value in (figures | {"all": whole, "before": before, "ratio": ratio}).items()}


@contextmanager
def _as_before() -> Iterator[None]:
    with patch.object(demuxer, "says_all", lambda *_: False), patch.object(Spare, "takes", lambda *_: False):
        yield


def _decode(clip: Path, name: str) -> float:
    """Decode a clip's sample; processor milliseconds."""
    config = RunConfig(model="saliency_open_v1", sampling=name)
    request = Locator(config).locate(as_reference(clip))
    started = time.process_time()
    decode.decode_frames(request, decode_spec(config, *peers.SIZE))
    return 1e3 * (time.process_time() - started)


def _decode_by_stage(clip: Path, name: str) -> dict[str, float]:
    """Processor milliseconds of every stage; ``decode`` is what is left of the whole."""
    spent = dict.fromkeys(STAGES, 0.0)

    def timed(stage: str, work: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            started = time.process_time()
            try:
                return work(*arguments)
            finally:
                spent[stage] += 1e3 * (time.process_time() - started)

        return call

    @contextmanager
    def opened(*arguments: Any) -> Iterator[Any]:
        context = decode_opened(*arguments)
        value = timed("open", context.__enter__)()
        try:
            yield value
        finally:
            timed("open", context.__exit__)(None, None, None)

    decode_opened = container.opened
    with ExitStack() as patches:
        patches.enter_context(patch.object(decode, "opened", opened))
        patches.enter_context(patch.object(sampling, "scan", timed("demux", timeline.scan)))
        patches.enter_context(patch.object(Picture, "of", staticmethod(timed("convert", Picture.of))))
        patches.enter_context(patch.object(Picture, "paint", timed("convert", Picture.paint)))
        patches.enter_context(patch.object(decode, "_measure_motion", timed("motion", decode._measure_motion)))
        whole = _decode(clip, name)
    spent["decode"] = whole - sum(spent.values())
    return spent


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
        "decoders": round(decoders, 3),
        "model": round(model, 3),
        "shared": round(statistics.median(1 / (a + b) for a, b, _ in rounds), 3),
        "engine": round(engine, 3),
        "of_the_slower": round(statistics.median(max(a, b) / c for a, b, c in rounds), 3),
        "of_shared": round(statistics.median((a + b) / c for a, b, c in rounds), 3),
    }


def _format_limits(name: str, figures: dict[str, float]) -> str:
    rates = " | ".join(f"{figures[key]:.3g}" for key in ("decoders", "model", "shared", "engine"))
    met = "met" if figures["of_the_slower"] >= BAR else "missed"
    return f"| {name} | {rates} | {figures['of_the_slower']:.2f}, {met} | {figures['of_shared']:.2f} |"


if __name__ == "__main__":
    main()
