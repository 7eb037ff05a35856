"""What a clip costs a cluster: its node, the wire, and the machine that the command runs on.

    python bench/scaling.py [MODEL.onnx] [--clips 32] [--sizes 960x540 1920x1080] [--rows 100000] [--rounds 3]
        [--output FOLDER]

Without a model it measures the built-in one. Everything is in processor seconds, which neighbours on the machine
stretch less than those of the clock.

- A clip on its node: the engine of an actor of one core computes real clips, 8 frames of each; `decode` is what its
  decoding processes take, `model` what its own process takes for all the rest. Medians of the rounds.
- The wire: bytes of what goes to an actor and comes back, pickled as Ray does, and of the clip's file.
- The command's machine: `saliency-batch run --on ray` over a Parquet table of so many clips, files of one byte, with
  actors that answer at once with numbers made up beforehand. `plan` reads rows, finds files and looks clips up in the
  memo; `take` puts answers into the memo, also for the last tenth of the clips alone, when the memo is large; `join` is
  the pass over the table that follows. Ray itself is not in it: bench/simulated_cluster.py has it.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from harness.inputs import make_clips, make_table
from harness.made_up import answer, link_clips
from harness.one_actor import Call, run_with
from harness.processes import descendants
from harness.results import RESULTS, save

from saliency_engine.config import RunConfig
from saliency_engine.models.load import load_model
from saliency_engine.pipeline.far_engine import FarEngine
from saliency_engine.pipeline.far_work import ClipWork, EngineState, WorkDone

_FIELDS = 10
"""Columns of the driver's table."""


def main() -> None:
    """Measure, and print two Markdown tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", default="saliency_open_v1", help="ONNX file or id")
    parser.add_argument("--clips", type=int, default=32)
    parser.add_argument("--sizes", nargs="+", default=["960x540", "1920x1080"])
    parser.add_argument("--rows", nargs="+", type=int, default=[100_000])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder for the JSON file")
    asked = parser.parse_args()
    settings = {"model": Path(asked.model).stem, "clips": asked.clips, "rounds": asked.rounds}
    named = {"model_path" if Path(asked.model).suffix else "model": asked.model}
    config = RunConfig(**named, decode_workers=1, threads=1)
    print("| a clip of | decode, ms | model, ms | bytes of its file | sent | back |\n|---|---:|---:|---:|---:|---:|")
    clip = {}
    for size in asked.sizes:
        clip[size] = _measure_clips(config, size, asked.clips, asked.rounds)
        print(f"| {size} |", " | ".join(f"{figure:,.4g}" for figure in clip[size].values()), "|", flush=True)
    print("\n| clips | plan, µs | take, µs | take, the last tenth, µs | join, µs | memo, bytes |")
    print("|---|---:|---:|---:|---:|---:|")
    driver = {}
    for rows in asked.rows:
        driver[rows] = _measure_driver(config, rows)
        print(f"| {rows:,} |", " | ".join(f"{figure:,.0f}" for figure in driver[rows].values()), "|", flush=True)
    save("scaling", {**settings, "clip": clip, "driver": driver}, asked.output)


class _Node:
    """The engine of an actor of one core, and what it takes from its second call on."""

    def __init__(self, config: RunConfig) -> None:
        self._engine = FarEngine([load_model(config)], config, 1, "node")
        if fault := self._engine.start().fault:
            raise SystemExit(fault.reason)
        self.clips, self.decode, self.model = 0, 0.0, 0.0
        self._warm = False

    def compute(self, works: Sequence[ClipWork]) -> WorkDone:
        """Compute ``works``, and count what it takes."""
        decode, model = _seconds_below(), time.process_time()
        done = self._engine.compute(works)
        if self._warm:
            self.clips += len(works)
            self.decode += _seconds_below() - decode
            self.model += time.process_time() - model
        self._warm = True
        return done

    def close(self) -> None:
        """End its processes."""
        self._engine._engine.close()


def _seconds_below() -> float:
    return sum(seconds for _, seconds in descendants().values())


def _measure_clips(config: RunConfig, size: str, count: int, rounds: int) -> dict[str, float]:
    """What a clip takes an actor of one core, in milliseconds, and its bytes; medians of ``rounds``."""
    width, height = map(int, size.split("x"))
    measured: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory() as folder:
        clips = make_clips(Path(folder), count, width, height)
        table = Path(folder) / "in.parquet"
        make_table(table, count, clips, done=False, fields=_FIELDS)
        for _ in range(rounds):
            node = _Node(config)
            calls = run_with(node.compute, table, replace(config, memo="off")).calls
            node.close()
            measured.append(
                {
                    "decode_ms": 1e3 * node.decode / node.clips,
                    "model_ms": 1e3 * node.model / node.clips,
                    "file_bytes": sum(clip.stat().st_size for clip in clips) / count,
                    "sent_bytes": sum(call.sent for call in calls) / count,
                    "back_bytes": sum(call.back for call in calls) / count,
                }
            )
    return {name: round(statistics.median(each[name] for each in measured), 2) for name in measured[0]}


def _measure_driver(config: RunConfig, rows: int) -> dict[str, float]:
    """What a clip takes the command's machine, in microseconds, and its bytes in the memo."""
    state = EngineState("actor", "node", 1, 1, 0, 0, 1.0, {"decode": 0.5, "infer": 0.5})
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clips = link_clips(folder / "clips", rows)
        make_table(folder / "in.parquet", rows, clips, done=False, fields=_FIELDS)
        run = run_with(lambda works: answer(works, "node", state), folder / "in.parquet", config)
        memo_bytes = sum(file.stat().st_size for file in folder.glob("*.sqlite*"))
    last = run.calls[-max(len(run.calls) // 10, 1) :]
    return {
        "plan_us": _microseconds(run.calls, "plan"),
        "take_us": _microseconds(run.calls, "take"),
        "take_last_us": _microseconds(last, "take"),
        "join_us": round(1e6 * run.join / rows, 2),
        "memo_bytes": round(memo_bytes / rows, 2),
    }


def _microseconds(calls: Sequence[Call], part: str) -> float:
    seconds: float = sum(getattr(call, part) for call in calls)
    return round(1e6 * seconds / sum(call.clips for call in calls), 2)


if __name__ == "__main__":
    main()
