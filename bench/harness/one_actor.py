"""``run --on ray`` without Ray: one actor, in this process, and what everything around it costs."""

from __future__ import annotations

import pickle
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from unittest import mock

from saliency_engine.config import RunConfig
from saliency_engine.jobs import cluster
from saliency_engine.jobs.run import run_table
from saliency_engine.pipeline.far_work import ClipWork, WorkDone
from saliency_engine.pipeline.ray_cluster import Node
from saliency_engine.table_job import TableJob

CALL = 16
"""Clips that an actor gets at once, as ``ActorPool`` deals them."""


@dataclass(frozen=True)
class Call:
    """A call of the actor. Seconds are processor seconds of this process."""

    clips: int
    plan: float
    """To find the clips that are sent: rows read, files located, the memo asked."""
    take: float
    """To read the answer and put it into the memo."""
    sent: int
    """In bytes, as ``back``."""
    back: int


@dataclass(frozen=True)
class Run:
    """What a run took."""

    calls: Sequence[Call]
    join: float
    """Processor seconds of the pass that takes all numbers from the memo, and writes the table."""


def run_with(compute: Callable[[Sequence[ClipWork]], WorkDone], table: Path, config: RunConfig) -> Run:
    """Run the command over ``table``, with ``compute`` in place of the actors. A clip that fails ends it."""
    calls: list[Call] = []
    pool = _Pool(compute, calls)
    job = TableJob(input=str(table), output=str(table.with_name(f"out{table.suffix}")), quiet=True, on="ray")
    with (
        mock.patch.object(cluster, "load_ray"),
        mock.patch.object(cluster, "connected", return_value=nullcontext()),
        mock.patch.object(cluster, "list_nodes", return_value=[Node("1", "node", 1, 0)]),
        mock.patch.object(cluster, "ActorPool", return_value=pool),
    ):
        audit = run_table(job, config)
    if audit["summary"]["failed"] or audit["clips"]["computed"] != sum(call.clips for call in calls):
        raise SystemExit(f"not all clips were computed: {audit['summary']}, {audit['clips']}")
    return Run(calls, time.process_time() - pool.ended)


class _Pool:
    """Stands in for ``ActorPool``. What goes to the actor and comes back is pickled as Ray does it."""

    actors = 1

    def __init__(self, compute: Callable[[Sequence[ClipWork]], WorkDone], calls: list[Call]) -> None:
        self._compute, self._calls = compute, calls
        self.ended = 0.0

    def compute(self, works: Iterator[ClipWork]) -> Iterator[WorkDone]:
        started = time.process_time()
        while some := list(islice(works, CALL)):
            planned = time.process_time()
            sent = pickle.dumps(some, 5)
            back = pickle.dumps(self._compute(pickle.loads(sent)), 5)
            computed = time.process_time()
            yield pickle.loads(back)
            self.ended = time.process_time()
            self._calls.append(Call(len(some), planned - started, self.ended - computed, len(sent), len(back)))
            started = self.ended

    def close(self) -> None:
        """There is nobody to end."""
