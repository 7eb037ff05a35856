"""Ray, as far as a run needs it: connected, silent, and with room for actors."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from saliency_engine.errors import ConfigError, WorkerError
from saliency_engine.machine import cores
from saliency_engine.table_job import TableJob

_STORE_BYTES = 128 << 20  # of a Ray that is started here: models and results are all that is in it


@dataclass(frozen=True)
class Node:
    """A machine of the cluster."""

    id: str
    name: str
    """For people; no other node has it."""
    cpus: float
    gpus: float


@dataclass(frozen=True)
class Actors:
    """How many actors there are to be, and what each has to itself."""

    least: int
    """Nothing is computed before so many have started."""
    most: int
    cpus: int
    gpus: float


@contextlib.contextmanager
def connected(address: str) -> Iterator[ModuleType]:
    """Ray, connected to the cluster at ``address``, or to the one it is connected to already.

    With neither, and no RAY_ADDRESS in the environment, a Ray of this machine's own is started, and ended with the
    block. Raises ``ConfigError`` where Ray is not installed, and ``WorkerError`` where it cannot be reached or started.
    """
    ray = load_ray()
    if ray.is_initialized():
        yield ray
        return
    address = address or os.environ.get("RAY_ADDRESS", "") or "local"
    local = {"num_cpus": cores(), "include_dashboard": False, "object_store_memory": _STORE_BYTES}
    try:
        _knock(address)
        with _undisturbed():
            settings: dict[str, Any] = local if address == "local" else {}
            ray.init(address=address, log_to_driver=False, logging_level=logging.CRITICAL, **settings)
    except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        raise WorkerError(
            f"Ray at {address} cannot be reached or started: {first_line(error)}{_hint_at_token(error)}"
        ) from error
    try:
        yield ray
    finally:
        with _undisturbed():
            ray.shutdown()


def load_ray() -> ModuleType:
    """The module ``ray``, which no run without it imports. Raises ``ConfigError`` where it is not installed."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing phones home
    logging.getLogger("ray").setLevel(logging.CRITICAL)
    try:
        import ray  # noqa: PLC0415  only who asks for it waits for it
    except ImportError as error:
        raise ConfigError(f"--on ray needs Ray ({error}): pip install 'saliency-batch[ray]'") from error
    module: ModuleType = ray
    return module


def _hint_at_token(error: Exception) -> str:
    """What Ray does not say: a cluster that is named is not shown the token, unless the environment says so."""
    is_open = type(error) is ConnectionError  # else nobody listens there
    return ". If it asks for a token, set RAY_AUTH_MODE=token" if is_open and "RAY_AUTH_MODE" not in os.environ else ""


def _knock(address: str) -> None:
    """Raise ``OSError`` where nobody listens at ``HOST:PORT``: Ray itself goes on trying for minutes."""
    host, _, port = address.rpartition(":")
    if port.isdigit() and host and "/" not in host:
        socket.create_connection((host.strip("[]"), int(port)), timeout=10.0).close()


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """Let Ray change neither what signals do nor where its workers look for modules.

    It takes SIGTERM for itself, and has workers import modules from the current folder, where the clips may be.
    """
    before, folder = signal.getsignal(signal.SIGTERM), os.open(".", os.O_RDONLY)
    os.chdir("/")
    try:
        yield
    finally:
        os.fchdir(folder)
        os.close(folder)
        with contextlib.suppress(ValueError):  # not in the main thread, where Ray takes none either
            signal.signal(signal.SIGTERM, before)


def list_nodes(ray: ModuleType) -> list[Node]:
    """The nodes that are up, and can compute."""
    alive = [node for node in ray.nodes() if node["Alive"]]
    hosts = [node["NodeManagerHostname"] for node in alive]
    return [
        Node(
            node["NodeID"],
            host if hosts.count(host) == 1 else f"{host} ({node['NodeID'][:8]})",
            node["Resources"].get("CPU", 0),
            node["Resources"].get("GPU", 0),
        )
        for node, host in zip(alive, hosts, strict=True)
    ]


def choose_actors(job: TableJob, nodes: Sequence[Node]) -> Actors:
    """The actors that ``job`` asks for; by default as many as the nodes have room for, one filling a node or a share.

    Raises ``ConfigError`` where no node has room for one. Nodes that are still to come, as in a cluster that begins
    with its head alone, are waited for where the job says how many cores each actor has, and the most of them.
    """
    least, _, most = job.actors.partition(":")
    gpus = job.gpus_per_actor
    able = [node for node in nodes if node.cpus >= 1 and node.gpus >= gpus]
    if job.cpus_per_actor == "auto":
        on_each = -(-int(most or least or 1) // max(len(able), 1))
        shares = [int(node.cpus * gpus / node.gpus if gpus else node.cpus / on_each) for node in able]
        cpus = max(min(shares, default=1), 1)
    else:
        cpus = job.cpus_per_actor
    room = sum(int(min(node.cpus // cpus, node.gpus // gpus if gpus else node.cpus)) for node in able)
    grows = bool(most) and job.cpus_per_actor != "auto"
    if not room and not grows:
        most_of = ", ".join(f"{node.name} {node.cpus:g} CPUs and {node.gpus:g} GPUs" for node in nodes) or "none"
        raise ConfigError(
            f"no node has room for an actor with {cpus} CPUs and {gpus:g} GPUs (--cpus-per-actor, --gpus-per-actor); "
            f"the cluster's nodes: {most_of}. Where it starts nodes when they are asked for, give both "
            "--cpus-per-actor and --actors MIN:MAX"
        )
    return Actors(int(least) if most else 1, int(most or least or room), cpus, gpus)


def first_line(error: BaseException) -> str:
    """The first line of what a library says, cut to 300 characters."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
