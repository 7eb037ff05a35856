"""A cluster of many actors on this machine: do they wait for the machine that the command runs on, and is it busy?

    python bench/simulated_cluster.py [--actors 64] [--clip-seconds 0.19 …] [--minutes 1] [--output FOLDER]

`saliency-batch run --on ray` as it is, over a table of files of one byte, with actors in processes of Ray's that sleep
as long as a clip takes (`--clip-seconds`; by default what bench/scaling.py measured for an actor of one core and
960x540) and send numbers back that are made up. Nothing begins before all of them are there, and each gets as many
clips as the others if none of them waits. From when they are there to the last result:

- `asleep` is the share of all actors' time in which they do what stands for work; the bar is 90%.
- `driver` is the processor seconds a second of the command's process, of all its threads; the bar is one core.
- `Ray` is that of Ray's own processes, as they are on the head of a cluster, and `actors` that of the processes that
  sleep; on a real cluster these are on other machines.

With several `--clip-seconds` there is a case for each: the shorter, the more the driver has to do.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

from harness.inputs import make_table
from harness.made_up import link_clips
from harness.processes import descendants
from harness.results import RESULTS, save
from harness.sleeping_actor import SleepingActor

from saliency_engine.config import RunConfig
from saliency_engine.jobs import cluster
from saliency_engine.jobs.run import run_table
from saliency_engine.pipeline import on_ray, ray_cluster
from saliency_engine.pipeline.far_work import ClipWork, WorkDone
from saliency_engine.pipeline.on_ray import ActorPool
from saliency_engine.table_job import TableJob

ASLEEP_BAR, DRIVER_BAR = 0.9, 1.0
CALL = 16
"""Clips that an actor gets at once, as ``ActorPool`` deals them."""


def main() -> None:
    """Run each of the cases, and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--actors", type=int, default=64)
    parser.add_argument("--clip-seconds", nargs="+", type=float)
    parser.add_argument("--minutes", type=float, default=1.0, help="how long each case works")
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder for the JSON file")
    asked = parser.parse_args()
    cases = []
    print("| a clip, s | clips | clips/s | asleep | driver | Ray | actors |\n|---:|---:|---:|---:|---:|---:|---:|")
    for seconds in asked.clip_seconds or [_measured_seconds()]:
        case = _run(asked.actors, seconds, asked.minutes)
        cases.append(case)
        print(
            f"| {seconds:.3g} | {case['clips']:,} | {case['clips_per_second']:,} | {case['asleep']:.1%} | "
            f"{case['driver']} | {case['ray']} | {case['actors']} |",
            flush=True,
        )
    figures = {"actors": asked.actors, "minutes": asked.minutes, "cases": cases}
    save(f"simulated_cluster_{asked.actors}", figures, asked.output)
    first = cases[0]
    for name, is_met in (("asleep", first["asleep"] >= ASLEEP_BAR), ("driver", first["driver"] <= DRIVER_BAR)):
        print(f"\n{name}, the first case: {'met' if is_met else 'missed'}", end="")
    print()


def _measured_seconds() -> float:
    file = RESULTS / "scaling.json"
    if not file.exists():
        sys.exit(f"{file} is missing: give --clip-seconds, or run bench/scaling.py first")
    clip = json.loads(file.read_text())["clip"]["960x540"]
    return float(round((clip["decode_ms"] + clip["model_ms"]) / 1e3, 3))


class _Pool(ActorPool):
    """``ActorPool`` that sends no models, which sleepers would unpack for nothing, and notes what its work takes."""

    taken: dict[str, float]
    """Seconds by name: ``clock`` from when all actors have started, and processor seconds meanwhile."""

    def __init__(self, ray: Any, wanted: Any, _models: Any, config: Any, note: Any) -> None:
        super().__init__(ray, wanted, [], config, note)

    def compute(self, works: Iterator[ClipWork]) -> Iterator[WorkDone | None]:
        """As always."""
        begun: dict[str, float] = {}
        for done in super().compute(works):
            if not begun and self.actors == self._wanted.least:
                begun = _seconds_by_name()
            yield done
        _Pool.taken = {name: seconds - begun[name] for name, seconds in _seconds_by_name().items()}


def _seconds_by_name() -> dict[str, float]:
    seconds = {"clock": time.monotonic(), "driver": time.process_time(), "ray": 0.0, "actors": 0.0}
    for name, taken in descendants().values():
        seconds["actors" if name.startswith("ray::Sleeper") else "ray"] += taken
    return seconds


def _path_of_workers() -> str:
    """Where they find the modules of benchmarks, too: Ray leaves out the folder that a script lies in."""
    return os.pathsep.join([str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])])


def _run(actors: int, clip_seconds: float, minutes: float) -> dict[str, float]:
    """Clips a second, and what all that are not asleep took of a core."""

    class Sleeper(SleepingActor):
        seconds = clip_seconds

    rounds = max(round(60 * minutes / (CALL * clip_seconds)), 1)  # whole ones, which end together
    count = actors * CALL * rounds
    with (
        tempfile.TemporaryDirectory() as name,
        mock.patch.dict(os.environ, PYTHONPATH=_path_of_workers()),
        mock.patch.object(ray_cluster, "cores", return_value=actors),
        mock.patch.object(cluster, "ActorPool", _Pool),
        mock.patch.object(on_ray, "_Actor", Sleeper),
    ):
        folder = Path(name)
        make_table(folder / "in.parquet", count, link_clips(folder / "clips", count), done=False, fields=10)
        options: dict[str, Any] = {"on": "ray", "actors": f"{actors}:{actors}", "cpus_per_actor": 1, "quiet": True}
        job = TableJob(input=str(folder / "in.parquet"), output=str(folder / "out.parquet"), **options)
        audit = run_table(job, RunConfig(model="frequency_tuned_v1", decode_workers=1, threads=1))
    if audit["clips"]["computed"] != count:
        sys.exit(f"not all clips were computed: {audit['clips']}")
    asleep = audit["cluster"]["stages"]["asleep"]["seconds"]
    clock = _Pool.taken.pop("clock")
    shares = {name: round(seconds / clock, 3) for name, seconds in _Pool.taken.items()}
    return {
        "clip_seconds": clip_seconds,
        "clips": count,
        "seconds": round(clock, 1),
        "clips_per_second": round(count / clock),
        "asleep": round(asleep / (actors * clock), 4),
        **shares,
    }


if __name__ == "__main__":
    main()
