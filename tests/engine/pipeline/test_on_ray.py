"""The pool of actors over a Ray that is played here: who gets which clips, and what becomes of those of the dead."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from saliency_engine.config import RunConfig
from saliency_engine.errors import ConfigError, WorkerError
from saliency_engine.pipeline import ray_cluster
from saliency_engine.pipeline.far_work import ClipWork, WorkDone
from saliency_engine.pipeline.on_ray import ActorPool
from saliency_engine.pipeline.ray_cluster import Actors, Node, choose_actors
from saliency_engine.table_job import TableJob
from saliency_engine.types import ClipRequest

Answer = Callable[[int, Sequence[ClipWork]], WorkDone]


class DeadError(Exception):
    """What the Ray here raises where an actor is dead."""


class PlayedRay:
    """Answers each call when it is waited for. ``answer`` gets the actor's number and its clips, none at its start."""

    def __init__(self, answer: Answer) -> None:
        self.exceptions = SimpleNamespace(RayError=DeadError)
        self._answer, self._count = answer, 0
        self.killed = 0

    def nodes(self) -> list[Any]:
        return []

    def put(self, value: Any) -> Any:
        return value

    def remote(self, **_: Any) -> Any:
        def make(_class: type) -> Any:
            return SimpleNamespace(remote=self._make_actor)

        return make

    def _make_actor(self, *_: Any) -> Any:
        number, self._count = self._count, self._count + 1
        return SimpleNamespace(
            start=SimpleNamespace(remote=lambda: _Call(number, ())),
            compute=SimpleNamespace(remote=lambda works: _Call(number, works)),
        )

    def wait(self, references: Sequence[_Call], num_returns: int, **_: Any) -> tuple[list[_Call], list[_Call]]:
        return list(references)[:num_returns], list(references)[num_returns:]

    def get(self, reference: _Call) -> WorkDone:
        return self._answer(reference.actor, reference.works)

    def kill(self, _: Any) -> None:
        self.killed += 1


class _Call:
    def __init__(self, actor: int, works: Sequence[ClipWork]) -> None:
        self.actor, self.works = actor, works


def request(number: int) -> ClipRequest:
    return ClipRequest(f"/clips/{number}.mp4", 1, 1)


def works(count: int) -> Iterator[ClipWork]:
    return (ClipWork(request(number), b"", ()) for number in range(count))


def compute(answer: Answer, clips: int, most: int = 2) -> tuple[set[str], list[str]]:
    """The clips that were computed, and what people are told."""
    notes: list[str] = []
    finished: list[str] = []

    def noted(actor: int, works: Sequence[ClipWork]) -> WorkDone:
        done = answer(actor, works)
        finished.extend(work.request.path for work in works)
        return done

    pool = ActorPool(PlayedRay(noted), Actors(1, most, 1, 0.0), [], RunConfig(), notes.append)  # type: ignore[arg-type]
    for _ in pool.compute(works(clips)):
        pass
    assert len(finished) == len(set(finished)), "a clip was computed twice"
    return set(finished), notes


def done(actor: int) -> WorkDone:
    return WorkDone(f"node-{actor}", None)


def test_clips_of_an_actor_that_dies_go_to_others() -> None:
    def answer(actor: int, works: Sequence[ClipWork]) -> WorkDone:
        if actor == 0 and works:
            raise DeadError("The actor is dead because its node has died.")
        return done(actor)

    finished, notes = compute(answer, 100)
    assert len(finished) == 100
    assert notes == ["an actor on node node-0 died, and another gets its clips: its node has died."]


def test_clips_at_which_three_actors_die_are_left_out() -> None:
    bad = request(5).path

    def answer(actor: int, works: Sequence[ClipWork]) -> WorkDone:
        if bad in {work.request.path for work in works}:
            raise DeadError("killed")
        return done(actor)

    finished, notes = compute(answer, 100)
    assert len(finished) == 100 - 16  # those of one call
    assert bad not in finished
    assert len([note for note in notes if note.endswith("gets its clips: killed")]) == 3
    assert len([note for note in notes if re.search("3 actors died .* and 15 others: this machine tries", note)]) == 1


def test_actors_that_all_die_end_the_run() -> None:
    def answer(*_: Any) -> WorkDone:
        raise DeadError("no memory")

    with pytest.raises(WorkerError, match=r"10 actors died one after another.* on a node: no memory"):
        compute(answer, 100)


def test_a_missing_package_ends_the_run_with_the_node() -> None:
    def answer(*_: Any) -> WorkDone:
        raise DeadError("(pid=1, ip=10.0.0.7, actor_id=2)\nModuleNotFoundError: No module named 'saliency_engine'")

    with pytest.raises(WorkerError, match=r"node 10\.0\.0\.7: there is no module saliency_engine: install"):
        compute(answer, 1)


def test_no_more_actors_are_started_than_there_is_work_for() -> None:
    seen: set[int] = set()

    def answer(actor: int, _: Sequence[ClipWork]) -> WorkDone:
        seen.add(actor)
        return done(actor)

    assert len(compute(answer, 20, most=50)[0]) == 20
    assert seen == {0, 1}
    assert compute(answer, 0) == (set(), [])


def test_an_address_where_nobody_listens_is_an_error_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    ray = SimpleNamespace(is_initialized=lambda: False, exceptions=SimpleNamespace(RayError=DeadError))
    monkeypatch.setattr(ray_cluster, "load_ray", lambda: ray)
    with (
        pytest.raises(WorkerError, match=r"Ray at 127\.0\.0\.1:1 cannot be reached or started: .*refused"),
        ray_cluster.connected("127.0.0.1:1"),
    ):
        pass


def test_a_cluster_that_asks_for_a_token_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    """As Ray does where the token is missing: something listens, and it cannot connect."""

    def init(**_: Any) -> None:
        raise ConnectionError("Failed to connect to Ray cluster")

    ray = SimpleNamespace(is_initialized=lambda: False, init=init, exceptions=SimpleNamespace(RayError=DeadError))
    monkeypatch.setattr(ray_cluster, "load_ray", lambda: ray)
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        pytest.raises(WorkerError, match=r"Failed to connect to Ray cluster\. If .* set RAY_AUTH_MODE=token"),
        ray_cluster.connected(f"127.0.0.1:{server.getsockname()[1]}"),
    ):
        pass


NODES = [Node("a", "a", 16, 0), Node("b", "b", 8, 0)]
CARDS = [Node("head", "head", 4, 0), Node("g", "g", 32, 4)]


@pytest.mark.parametrize(
    ("nodes", "options", "expected"),
    [
        (NODES, {}, Actors(1, 3, 8, 0.0)),
        (NODES, {"cpus_per_actor": 4}, Actors(1, 6, 4, 0.0)),
        (NODES, {"actors": "4"}, Actors(1, 4, 4, 0.0)),
        (NODES, {"actors": "2:9", "cpus_per_actor": 2}, Actors(2, 9, 2, 0.0)),
        (CARDS, {"gpus_per_actor": 1.0}, Actors(1, 4, 8, 1.0)),
        (CARDS, {"gpus_per_actor": 0.5}, Actors(1, 8, 4, 0.5)),
        (NODES, {"actors": "2:9", "cpus_per_actor": 32}, Actors(2, 9, 32, 0.0)),  # nodes of that size may come
        (NODES[:0], {"actors": "1:9", "cpus_per_actor": 4}, Actors(1, 9, 4, 0.0)),
    ],
)
def test_actors_fill_the_nodes_unless_something_else_is_asked_for(
    nodes: list[Node], options: dict[str, Any], expected: Actors
) -> None:
    assert choose_actors(TableJob(input="i.jsonl", output="o.jsonl", on="ray", **options), nodes) == expected


@pytest.mark.parametrize(
    "options",
    [
        {"cpus_per_actor": 17},
        {"gpus_per_actor": 1.0},
        {"cpus_per_actor": 17, "actors": "2"},
        {"gpus_per_actor": 1.0, "actors": "1:4"},  # of how many cores, nobody knows
    ],
)
def test_actors_without_room_on_any_node_are_refused(options: dict[str, Any]) -> None:
    job = TableJob(input="i.jsonl", output="o.jsonl", on="ray", **options)
    with pytest.raises(ConfigError, match=r"no node has room .* nodes: a 16 CPUs and 0 GPUs, b 8 CPUs and 0 GPUs"):
        choose_actors(job, NODES)
