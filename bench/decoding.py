"""What decoding takes, stage by stage, and beside it what it took when FFmpeg opened files as it does by itself.

    python bench/decoding.py [--sizes 960x540 1920x1080 3840x2160] [--codecs h264 hevc vp9 av1] [--groups 12 60 250]
        [--frames 260] [--rounds 3] [--output FOLDER]

Clips of every codec, size and distance of keyframes (B-frames where the codec has them), each of so many frames; eight
are sampled by `head` and by `uniform`. Figures are processor milliseconds a clip on one thread, medians. `demux` is the
reading of all packets' times, which `head` does without; `decode` holds the reading of the packets that are decoded.

Beside the whole stands what the same clip takes where nothing is opened without decoding and nothing is left out on the
way to a frame, in turns; the ratio is the median of such pairs. The bars: 0.6 for `uniform` with H.264 and HEVC at a
keyframe every 250 frames, and nowhere above 1.05.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any
from unittest.mock import patch

from harness import peers
from harness.inputs import encode_group
from harness.results import RESULTS, save

from saliency_engine.config import RunConfig
from saliency_engine.pipeline.one_clip import as_reference
from saliency_engine.storage.locate import Locator
from saliency_engine.types import decode_spec
from saliency_engine.video import container, decode, demuxer, motion, sampling, timeline
from saliency_engine.video.picture import Picture
from saliency_engine.video.spare import Spare

STAGES = ("open", "demux", "decode", "convert", "motion")
LONG_GROUP, FASTER, NO_SLOWER = 250, 0.6, 1.05


def main() -> None:
    """Measure every clip and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", default=["960x540", "1920x1080", "3840x2160"])
    parser.add_argument("--codecs", nargs="+", default=["h264", "hevc", "vp9", "av1"])
    parser.add_argument("--groups", nargs="+", type=int, default=[12, 60, 250])
    parser.add_argument("--frames", type=int, default=260, help="of each clip")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder for the JSON file")
    arguments = parser.parse_args()
    decode.silence()
    print("| clips | sampling | " + " | ".join(STAGES) + " | in all, ms | as before, ms | ratio |")
    print("|---|---|" + "---:|" * (len(STAGES) + 3))
    missed = []
    for size in arguments.sizes:
        results = list(_measure(arguments, size))
        missed += [line for line in results if line["ratio"] > _bar_of(line)]
        asked = {"frames": arguments.frames, "rounds": arguments.rounds}
        save(f"decoding_{size}", {**asked, "results": results}, arguments.output)
    for line in missed:
        name = f"{line['codec']}, {line['size']}, {line['group']}, {line['sampling']}"
        print(f"missed: {name}: {line['ratio']:.2f} of the time before, not {_bar_of(line)}")


def _measure(arguments: argparse.Namespace, size: str) -> Iterator[dict[str, Any]]:
    for codec, group in itertools.product(arguments.codecs, arguments.groups):
        with tempfile.TemporaryDirectory() as folder:
            clip = encode_group(Path(folder), codec, size, group, arguments.frames)
            for name in ("head", "uniform"):
                if name == "head" and group != arguments.groups[0]:
                    continue  # it sees the first frames only
                figures = _measure_clip(clip, name, arguments.rounds)
                row = " | ".join(f"{figures[key]:.3g}" for key in (*STAGES, "all", "before", "ratio"))
                print(f"| {codec}, {size}, {group} | {name} | {row} |", flush=True)
                yield {"codec": codec, "size": size, "group": group, "sampling": name, **figures}


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
        patches.enter_context(patch.object(motion, "measure_luma", timed("motion", motion.measure_luma)))
        whole = _decode(clip, name)
    spent["decode"] = whole - sum(spent.values())
    return spent


if __name__ == "__main__":
    main()
