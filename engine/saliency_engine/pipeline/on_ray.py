"""Clips computed by actors of a Ray cluster.

Plain actors, not Ray Data. That needs all of its input before it starts: blocks of a million clips took 47 s and 300 MB
of the command's machine before the first of them was decoded, where reading, computing and remembering now go on
together. And it retries for ever what an actor dies at; the arguments that bound this go away with Ray 2.64.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from types import ModuleType
from typing import Any

from saliency_engine.config import RunConfig
from saliency_engine.errors import WorkerError
from saliency_engine.models.load import Model
from saliency_engine.pipeline.far_engine import FarEngine
from saliency_engine.pipeline.far_work import ClipWork, WorkDone
from saliency_engine.pipeline.ray_cluster import Actors, first_line, list_nodes

_CLIPS_PER_CALL = 16  # what a killed actor loses at most of each call under way
# A call's clips may be what its actor dies at, or they were under way beside it, so they get two other actors.
_TRIES = 3
_MOST_DEATHS = 10
"""So many actors may die one after another without a clip being finished."""
_WAIT = 0.5  # seconds
_PATIENCE = 60.0
"""Seconds without any actor after which somebody should know."""


class _Actor:
    """What runs on a node, in a process of Ray's. Its methods return before they can raise."""

    def __init__(self, models: Sequence[Model], config: RunConfig, cores: int, names: Mapping[str, str]) -> None:
        import ray  # noqa: PLC0415  it is there: this is its process

        node = ray.get_runtime_context().get_node_id()
        self._engine = FarEngine(models, config, cores, names.get(node, ""))

    def start(self) -> WorkDone:
        return self._engine.start()

    def compute(self, works: Sequence[ClipWork]) -> WorkDone:
        return self._engine.compute(works)


@dataclass(eq=False)
class _Running:
    """An actor that has started."""

    handle: Any
    node: str
    calls: int = 0
    """How many of its calls are under way."""


@dataclass(frozen=True)
class _Call:
    works: Sequence[ClipWork]
    deaths: int = 0
    """How many actors have died while they had these clips."""


class ActorPool:
    """Actors that compute clips for a run; ``close`` ends them.

    ``models`` and ``config`` are the run's: its own bytes of the models travel to the nodes, so that all compute with
    the same. ``note`` is given a sentence for people where an actor dies.
    """

    def __init__(
        self,
        ray: ModuleType,
        wanted: Actors,
        models: Sequence[Model],
        config: RunConfig,
        note: Callable[[str], None],
    ) -> None:
        self._ray, self._wanted, self._note = ray, wanted, note
        # As many at once as keep the workers busy while the clips of one call run out.
        self._calls_each = 2 + wanted.cpus // 8
        self._class = ray.remote(
            num_cpus=wanted.cpus, num_gpus=wanted.gpus, max_restarts=0, max_concurrency=self._calls_each
        )(_Actor)
        names = {node.id: node.name for node in list_nodes(ray)}
        self._arguments = (ray.put(list(models)), config, wanted.cpus, names)
        self._starting: dict[Any, Any] = {}  # what each will say when it has started, and its handle
        self._running: list[_Running] = []
        self._under_way: dict[Any, tuple[_Running, _Call]] = {}
        self._again: deque[_Call] = deque()
        self._deaths = 0
        self._begun = False
        self._alone_since = time.monotonic()

    @property
    def actors(self) -> int:
        """How many actors are at work."""
        return len(self._running)

    def compute(self, works: Iterator[ClipWork]) -> Iterator[WorkDone | None]:
        """What comes of ``works``, in any order; ``None`` now and then while nothing does.

        Clips at which several actors die are left out. Raises ``WorkerError`` where no actor can start.
        """
        calls = self._calls_of(works)
        first = list(islice(calls, self._wanted.most))
        self._again.extend(first)
        for _ in first:
            self._start()
        while self._hand_out(calls) or self._under_way:
            references = [*self._starting, *self._under_way]
            if not self._ray.wait(references, num_returns=1, timeout=_WAIT)[0]:
                self._look_for_room()
                yield None
            for reference in self._ray.wait(references, num_returns=len(references), timeout=0)[0]:
                take = self._take_started if reference in self._starting else self._take_computed
                if done := take(reference):
                    yield done

    def close(self) -> None:
        """End all actors, whatever they are doing."""
        for handle in [*self._starting.values(), *(running.handle for running in self._running)]:
            with contextlib.suppress(Exception):  # the cluster may be gone
                self._ray.kill(handle)

    @staticmethod
    def _calls_of(works: Iterator[ClipWork]) -> Iterator[_Call]:
        while some := tuple(islice(works, _CLIPS_PER_CALL)):
            yield _Call(some)

    def _start(self) -> None:
        handle = self._class.remote(*self._arguments)
        self._starting[handle.start.remote()] = handle

    def _hand_out(self, calls: Iterator[_Call]) -> bool:
        """Give every actor as many calls as it may have; whether there are more to give."""
        self._begun = self._begun or len(self._running) >= self._wanted.least
        while True:
            if not self._again:
                self._again.extend(islice(calls, 1))
            free = [running for running in self._running if running.calls < self._calls_each]
            if not self._again or not free or not self._begun:
                return bool(self._again)
            running, call = min(free, key=lambda running: running.calls), self._again.popleft()
            running.calls += 1
            self._under_way[running.handle.compute.remote(call.works)] = running, call

    def _take_started(self, reference: Any) -> WorkDone | None:
        handle = self._starting.pop(reference)
        try:
            done: WorkDone = self._ray.get(reference)
        except self._ray.exceptions.RayError as error:
            _check_import(error)
            self._count_death("a node", error)
            self._start()
            return None
        self._running.append(_Running(handle, done.node))
        return done

    def _take_computed(self, reference: Any) -> WorkDone | None:
        running, call = self._under_way.pop(reference)
        running.calls -= 1
        try:
            done: WorkDone = self._ray.get(reference)
        except self._ray.exceptions.RayError as error:
            if running in self._running:  # else another of its calls has told so
                self._running.remove(running)
                self._count_death(f"node {running.node}", error)
                self._start()
            if call.deaths + 1 < _TRIES:
                self._again.append(_Call(call.works, call.deaths + 1))
            else:
                self._note(
                    f"{_TRIES} actors died while they had the clip {call.works[0].request.path}"
                    f"{_and_others(call)}: this machine tries what they left"
                )
            return None
        self._deaths = 0
        return done

    def _count_death(self, where: str, error: Exception) -> None:
        self._deaths += 1
        reason = _describe_death(error)
        if self._deaths >= _MOST_DEATHS:
            raise WorkerError(
                f"{self._deaths} actors died one after another, and no clip was finished meanwhile; the last one on "
                f"{where}: {reason}"
            )
        self._note(f"an actor on {where} died, and another gets its clips: {reason}")

    def _look_for_room(self) -> None:
        """Say so where no actor has been there for long: all nodes may be busy with other work."""
        if self._running:
            self._alone_since = time.monotonic()
        elif time.monotonic() - self._alone_since > _PATIENCE:
            self._alone_since = float("inf")
            self._note(
                f"no actor has started for {_PATIENCE:g} s: no node has {self._wanted.cpus} CPUs and "
                f"{self._wanted.gpus:g} GPUs free, or they are slow to start. The run waits"
            )


def _and_others(call: _Call) -> str:
    return f" and {len(call.works) - 1} others" if len(call.works) > 1 else ""


def _check_import(error: Exception) -> None:
    """Raise ``WorkerError`` where an actor did not start for want of a module, as all others on its node would."""
    missing = re.search(r"No module named '([^']+)'", str(error))
    if missing:
        place = re.search(r"ip=([^,)\s]+)", str(error))
        raise WorkerError(
            f"node {place[1] if place else '?'}: there is no module {missing[1]}: install saliency-batch on all nodes, "
            "in the environment that Ray runs in"
        ) from error


def _describe_death(error: Exception) -> str:
    """Ray's words for it, without the lines that name classes and ids."""
    reason = re.search(r"The actor is dead because (.{1,200})", " ".join(str(error).split()))
    return reason[1].rstrip() if reason else first_line(error)
