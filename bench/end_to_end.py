"""End to end against peers, in one run, interleaved: clips per second, ratios of paired rounds, where the time goes.

    python bench/end_to_end.py MODEL.onnx [--sizes 960x540 1920x1080] [--clips 16] [--rounds 5]
        [--engines cpu openvino openvino:bfloat16 openvino:float32:INT8.onnx] [--script OTHER.onnx]
        [--torch CHECKOUT CHECKPOINT] [--output FOLDER]

Every contender takes eight head frames of the same H.264 clips, which are the four real ones encoded at each size, in a
process of its own (see harness/race.py). The contenders are:

- the engine in every setting of `--engines`, warm, with no clip in its memo;
- the bare model on a ready tensor, in the same settings;
- the row-at-a-time script at 320x320 and, where the model can, at the clip's own size, rounded up to what the model
  takes (a graph of convolutions whose sizes are fixed has them made free for that);
- with `--script` the same script with another model at the clip's own size, where it can, as somebody may run it today;
- one shared session, a frame per call;
- with `--torch` upstream's U2NETP in eager torch, from a checkout with the weights of a checkpoint. The checkout's code
  runs: give one that you trust.

The numbers must agree: those of float32 ways with each other, all others within what the accuracy gates allow.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import onnx
from harness import arithmetic, peers, targets
from harness.inputs import make_clips
from harness.race import Contender, Turn, race
from harness.results import RESULTS, float32_gflops, save

_GATE = 0.02  # by so much a variant may move the mean of a map
_RESIZED = 0.05  # so much another way of resizing: saliency_open_v1's by up to 0.027, student v2's by 0.005
_SAME = 1e-4


class Setting(NamedTuple):
    """One of ``--engines``."""

    provider: str
    precision: str
    model: Path | None
    """Another file than the float32 model, or ``None``."""

    @classmethod
    def parse(cls, text: str) -> Setting:
        """``PROVIDER[:PRECISION[:FILE]]``."""
        provider, _, rest = text.partition(":")
        precision, _, file = rest.partition(":")
        return cls(provider, precision or "float32", Path(file) if file else None)

    @property
    def name(self) -> str:
        """As tables show it."""
        parts = [self.provider, *([self.precision] if self.precision != "float32" else [])]
        return " ".join([*parts, *([self.model.stem] if self.model else [])])

    @property
    def exact(self) -> bool:
        """Whether its numbers must be those of the float32 model."""
        return self.precision == "float32" and self.model is None


def main() -> None:
    """Measure every size, print Markdown, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="float32 ONNX file")
    parser.add_argument("--sizes", nargs="+", default=["960x540", "1920x1080"])
    parser.add_argument("--clips", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--engines", nargs="+", default=["cpu", "openvino", "openvino:bfloat16"])
    parser.add_argument("--script", type=Path, help="ONNX file that takes any size")
    parser.add_argument("--torch", nargs=2, type=Path, metavar=("CHECKOUT", "CHECKPOINT"))
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder for the JSON file")
    arguments = parser.parse_args()
    settings = [Setting.parse(text) for text in dict.fromkeys(["cpu", *arguments.engines])]
    gflops = float32_gflops()
    for size in arguments.sizes:
        width, height = map(int, size.split("x"))
        with tempfile.TemporaryDirectory() as folder:
            *clips, spare = make_clips(Path(folder), arguments.clips + 1, width, height)
            own_sizes = {
                each: _at_own_size(each, width, height, Path(folder))
                for each in filter(None, (arguments.model, arguments.script))
            }
            contenders = _list_contenders(arguments, settings, own_sizes)
            few = {each.name for each in contenders if each.name.startswith(targets.OWN_SIZE)}
            turns = race(contenders, arguments.rounds, clips, spare, few)
        asked = {"model": arguments.model.stem, "size": size, "clips": arguments.clips, "rounds": arguments.rounds}
        result = {**asked, **_compute_figures(arguments.model, size, turns, gflops, settings)}
        print(_markdown(result), flush=True)
        save(f"end_to_end_{arguments.model.stem}_{size}", result, arguments.output)


def _list_contenders(
    arguments: argparse.Namespace, settings: Sequence[Setting], own_sizes: Mapping[Path, dict[str, Any]]
) -> list[Contender]:
    """``own_sizes``: what the script needs for clips of their own size, for each model that takes them."""
    model, threads = arguments.model.resolve(), len(os.sched_getaffinity(0))
    contenders = []
    for setting in settings:
        file = setting.model or model
        options = {"provider": setting.provider, "precision": setting.precision}
        contenders.append(
            Contender(f"engine, {setting.name}", peers.OurEngine, {"model_path": str(file), "memo": "off", **options})
        )
        bare = {"model": file, "threads": threads, "library": setting.provider, "precision": setting.precision}
        contenders.append(Contender(f"bare model, {setting.name}", peers.BareModel, bare))
    plain = {"model": model, "threads": threads}
    contenders.append(Contender("one session", peers.OneSession, plain))
    contenders.append(Contender(targets.ROW, peers.RowAtATime, {**plain, "size": peers.SIZE}))
    for path, own_size in own_sizes.items():
        if own_size:
            name = targets.OWN_SIZE if path == arguments.model else f"{targets.OWN_SIZE}, {path.stem}"
            contenders.append(Contender(name, peers.RowAtATime, {**plain, "model": path.resolve(), **own_size}))
    if arguments.torch:
        checkout, checkpoint = arguments.torch
        eager = {"module": checkout / "model" / "u2net.py", "checkpoint": checkpoint, "threads": threads}
        contenders.append(Contender("torch eager", peers.TorchEager, eager))
    return contenders


def _at_own_size(model: Path, width: int, height: int, folder: Path) -> dict[str, Any]:
    """What the script needs for clips of this size; nothing where the model cannot take them."""
    graph = onnx.load(model)
    shape = graph.graph.input[0].type.tensor_type.shape.dim
    if not any(size.dim_value for size in shape[2:]):
        return {"size": None} if height % 8 == 0 else {}
    enlarging = [node for node in graph.graph.node if node.op_type == "Resize"]
    if {node.op_type for node in graph.graph.node} & {"Reshape", "Concat"} or any(len(n.input) > 3 for n in enlarging):
        return {}  # sizes may stand in the graph itself
    for value in (*graph.graph.input, *graph.graph.output):
        for at, name in ((2, "height"), (3, "width")):
            value.type.tensor_type.shape.dim[at].dim_param = name
    del graph.graph.value_info[:]
    onnx.save(graph, free := folder / f"{model.stem}_free.onnx")
    return {"model": free, "size": (_round_up(width), _round_up(height))}


def _round_up(side: int) -> int:
    """To the multiple of 32 that a graph with five halvings takes."""
    return -(-side // 32) * 32


def _compute_figures(
    model: Path, size: str, turns: Mapping[str, list[Turn]], gflops: float, settings: Sequence[Setting]
) -> dict[str, Any]:
    agreement = _check_agreement(turns, settings)
    seconds = {name: [turn.seconds / turn.clips for turn in each] for name, each in turns.items()}
    rates = {name: round(1 / statistics.median(each), 3) for name, each in seconds.items()}
    ratios = {
        engine: {
            name: round(statistics.median(b / a for a, b in zip(seconds[engine], each, strict=True)), 3)
            for name, each in seconds.items()
        }
        for engine in seconds
        if engine.startswith("engine")
    }
    return {
        "clips_per_second": rates,
        "times_as_fast": ratios,
        "bars": targets.judge(model.stem, size, ratios),
        "arithmetic": arithmetic.explain(model, rates, gflops),
        "ms_per_clip": {name: _milliseconds(each) for name, each in turns.items()},
        "mean_moved_by": agreement,
        "cores_busy_elsewhere": round(max(turn.disturbed for each in turns.values() for turn in each), 2),
    }


def _milliseconds(turns: Sequence[Turn]) -> dict[str, Any]:
    """Per clip, in the turn of median length: wall time, stages by their clocks (the engine's overlap), CPU time."""
    turn = sorted(turns, key=lambda turn: turn.seconds)[len(turns) // 2]
    wall = 1e3 * turn.seconds / turn.clips
    stages, cpu = (
        {name: round(1e3 * seconds / turn.clips, 2) for name, seconds in part.items() if seconds > 0}
        for part in (turn.stages, turn.cpu)
    )
    return {"wall": round(wall, 2), "stages": stages, "cpu": cpu}


def _check_agreement(turns: Mapping[str, list[Turn]], settings: Sequence[Setting]) -> dict[str, float]:
    """The largest distance of each way's mean of a clip from that of the engine in float32 on ONNX Runtime.

    Exits where one is larger than it may be.
    """
    expected = [mean for mean, _ in turns["engine, cpu"][0].results]
    allowed = {f"engine, {setting.name}": _SAME if setting.exact else _GATE for setting in settings}
    moved = {}
    for name, each in turns.items():
        if each[0].results and not name.startswith(targets.OWN_SIZE):
            means = [mean for mean, _ in each[0].results]
            moved[name] = round(max(abs(a - b) for a, b in zip(means, expected, strict=True)), 6)
            if moved[name] > allowed.get(name, _RESIZED):
                sys.exit(f"{name}: a mean is {moved[name]} away from the engine's: it had other clips or another model")
    return moved


def _markdown(result: dict[str, Any]) -> str:
    engines = list(result["times_as_fast"])
    lines = [
        f"\n{result['size']}:",
        "",
        "| | clips/s | " + " | ".join(f"{name} is … times as fast" for name in engines),
    ]
    lines[-1] += " |"
    lines.append("|---|---:|" + "---:|" * len(engines))
    for name, rate in result["clips_per_second"].items():
        ratios = " | ".join(f"{result['times_as_fast'][engine][name]:.2f}" for engine in engines)
        lines.append(f"| {name} | {rate:.3g} | {ratios} |")
    if result["bars"]:
        lines += ["", "| bar | at least | reached | |", "|---|---:|---:|---|"]
        for bar in result["bars"]:
            lines.append(f"| {bar['what']} | {bar['bar']} | {bar['reached']} | {'met' if bar['met'] else 'missed'} |")
    lines += ["", arithmetic.sentence(result["arithmetic"])]
    moved = ", ".join(f"{name} {value:g}" for name, value in result["mean_moved_by"].items())
    lines.append(f"Largest difference of a clip's mean from the engine's on cpu: {moved}.")
    lines.append(f"Other programs kept at most {result['cores_busy_elsewhere']} cores busy during a turn.")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
