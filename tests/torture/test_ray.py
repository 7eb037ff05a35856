"""``--on ray`` over forty clips: actors, workers, the command and a node are killed; the table is that of one run."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.processes import finished_clips, session_members, start, until
from tests.torture.conftest import Record, times
from tests.torture.runs import Campaign

pytest.importorskip("ray", reason="Ray is not installed: there may be no package for this Python")


def _titled(start_of_title: bytes) -> list[int]:
    """The workers of Ray whose titles begin so; not its agents, with which their whole node ends."""
    processes = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            title = (entry / "cmdline").read_bytes() if entry.name.isdigit() else b""
            if title.startswith(start_of_title) and b"Agent" not in title:
                processes.append(int(entry.name))
    return processes


def _kill_one(start_of_title: bytes, generator: random.Random) -> bool:
    """Kill one of the processes with such titles; whether there was one."""
    processes = _titled(start_of_title)
    with contextlib.suppress(ProcessLookupError):
        if processes:
            os.kill(generator.choice(processes), signal.SIGKILL)
    return bool(processes)


class Cluster:
    """A Ray with a head that computes nothing, and nodes of one core."""

    def __init__(self, nodes: int) -> None:
        from ray.cluster_utils import Cluster as Nodes

        self._nodes: Any = Nodes()
        self._nodes.add_node(num_cpus=0, include_dashboard=False, object_store_memory=80 << 20)
        self.nodes = [self._nodes.add_node(num_cpus=1, object_store_memory=80 << 20) for _ in range(nodes)]

    @property
    def address(self) -> str:
        return str(self._nodes.address)

    def remove(self, node: Any) -> None:
        """End a node without a word, as if its power had failed."""
        self._nodes.remove_node(node, allow_graceful=False)

    def close(self) -> None:
        self._nodes.shutdown()


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    nodes = Cluster(2)
    yield nodes
    nodes.close()


def _options(campaign: Campaign, folder: Path) -> list[str | Path]:
    output: list[str | Path] = ["-o", folder / "out.jsonl", "--memo", folder / "memo", "--audit-json", folder / "audit"]
    return [campaign.table, *output, "--model", "frequency_tuned_v1", "--on", "ray", "--actors", "2", "--quiet"]


def _finish(campaign: Campaign, folder: Path, totals: Counter[str], process: subprocess.Popen[bytes]) -> None:
    """Wait for the last run of a trial, and count what is wrong with its table."""
    _, messages = process.communicate(timeout=600)
    assert process.returncode == 0, messages.decode()
    totals["differing_bytes"] += (folder / "out.jsonl").read_bytes() != campaign.expected
    totals["trials"] += 1


Disturb = Callable[[subprocess.Popen[bytes], random.Random], bool]


def _kill_actor(_: subprocess.Popen[bytes], generator: random.Random) -> bool:
    return _kill_one(b"ray::_Actor", generator)


def _kill_worker(_: subprocess.Popen[bytes], generator: random.Random) -> bool:
    return _kill_one(b"ray::", generator)


def _kill_command(process: subprocess.Popen[bytes], _: random.Random) -> bool:
    process.kill()
    return True


@pytest.mark.parametrize("disturb", [_kill_actor, _kill_worker, _kill_command])
def test_kills(tmp_path: Path, forty: list[Path], cluster: Cluster, record: Record, disturb: Disturb) -> None:
    campaign, generator = Campaign.over(forty, tmp_path), random.Random(22)
    totals: Counter[str] = Counter(kills=0)
    for trial in range(times(3)):
        folder = tmp_path / f"ray-{trial}"
        folder.mkdir()
        options = _options(campaign, folder)
        process = start(*options, env={"RAY_ADDRESS": cluster.address})
        until(lambda: process.poll() is not None or bool(_titled(b"ray::_Actor")), "no actor")  # noqa: B023
        if generator.random() < 0.5:
            until(lambda: process.poll() is not None or bool(finished_clips(folder / "memo")), "no clip")  # noqa: B023
        time.sleep(generator.uniform(0.0, 1.0))
        totals["kills"] += process.poll() is None and disturb(process, generator)
        if disturb is _kill_command:
            process.communicate()
            until(lambda: not session_members(process.pid) and not _titled(b"ray::_Actor"), "left")  # noqa: B023
            kept = len(finished_clips(folder / "memo"))
            process = start(*options, env={"RAY_ADDRESS": cluster.address})
        else:
            kept = 0
        _finish(campaign, folder, totals, process)
        clips = json.loads((folder / "audit").read_text())["clips"]
        totals["finished_clips_kept"] += kept
        totals["recomputed_clips"] += clips["computed"] + kept - len(forty)
    record(f"23-ray-{disturb.__name__[1:].replace('_', '-')}", clips=len(forty), **totals)
    for bad in ("differing_bytes", "recomputed_clips"):
        assert totals[bad] == 0, totals


def test_a_node_is_lost(tmp_path: Path, forty: list[Path], cluster: Cluster, record: Record) -> None:
    campaign, totals = Campaign.over(forty, tmp_path), Counter[str]()
    folder = tmp_path / "lost"
    folder.mkdir()
    process = start(*_options(campaign, folder), env={"RAY_ADDRESS": cluster.address})
    until(lambda: len(_titled(b"ray::_Actor")) == 2, "not both actors")
    cluster.remove(cluster.nodes[0])
    _finish(campaign, folder, totals, process)
    nodes = json.loads((folder / "audit").read_text())["cluster"]["nodes"]
    record("23-ray-node", clips=len(forty), nodes=len(cluster.nodes), nodes_that_computed=len(nodes), **totals)
    assert totals["differing_bytes"] == 0


def _kill_all_with(setting: bytes) -> None:
    """Kill the processes that have ``setting`` in their environment."""
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if setting in (entry / "environ").read_bytes().split(b"\0"):
                os.kill(int(entry.name), signal.SIGKILL)


@contextlib.contextmanager
def _growing_cluster(folder: Path) -> Iterator[dict[str, str]]:
    """A Ray of a head without cores, which starts nodes of one core when they are asked for; how to reach it.

    ``ray.cluster_utils.AutoscalingCluster``, which would make one, begins and ends by killing every Ray of the machine.
    """
    import ray

    utilities: Any = ray.util  # its function has types in no version
    with socket.create_server(("", 0)) as server:
        address = f"{utilities.get_node_ip_address()}:{server.getsockname()[1]}"
    kinds = {"ray.head.default": {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0}}
    kinds["node"] = {"resources": {"CPU": 1, "object_store_memory": 80 << 20}, "node_config": {}, "max_workers": 3}
    provider = {"type": "fake_multinode", "gcs_address": address, "disable_node_updaters": True}
    lists = ("initialization", "setup", "head_setup", "worker_setup", "head_start_ray", "worker_start_ray")
    settings = {
        **{f"{name}_commands": [] for name in lists},
        **{"cluster_name": "growing", "max_workers": 3, "upscaling_speed": 1.0, "idle_timeout_minutes": 5},
        **{
            "provider": provider,
            "available_node_types": kinds,
            "head_node_type": "ray.head.default",
            "auth": {},
            "docker": {},
        },
        **{"file_mounts": {}, "cluster_synced_files": [], "rsync_exclude": [], "rsync_filter": []},
    }
    (folder / "cluster.yaml").write_text(json.dumps(settings))
    options = ["--num-cpus=0", "--object-store-memory=83886080", "--include-dashboard=false", "--block"]
    options += [f"--port={address.rpartition(':')[2]}", f"--autoscaling-config={folder / 'cluster.yaml'}"]
    marks = {"RAY_FAKE_CLUSTER": "1", "AUTOSCALER_UPDATE_INTERVAL_S": "1", "CLUSTER_OF_A_TEST": str(folder)}
    reached = {"RAY_ADDRESS": address, "RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}
    program = [sys.executable, "-c", "from ray.scripts.scripts import main; main()", "start", "--head"]
    with (folder / "cluster.log").open("wb") as log:
        head = subprocess.Popen([*program, *options], env={**os.environ, **reached, **marks}, stdout=log, stderr=log)
    try:
        until(lambda: b"Ray runtime started" in (folder / "cluster.log").read_bytes(), "no cluster")
        yield reached
    finally:
        _kill_all_with(f"CLUSTER_OF_A_TEST={folder}".encode())  # its nodes do not end with the head
        head.wait()


def test_a_cluster_grows(tmp_path: Path, forty: list[Path], record: Record) -> None:
    campaign, totals = Campaign.over(forty, tmp_path), Counter[str]()
    folder = tmp_path / "grows"
    folder.mkdir()
    with _growing_cluster(tmp_path) as reached:
        options = [*_options(campaign, folder), "--actors", "1:3", "--cpus-per-actor", "1"]
        _finish(campaign, folder, totals, start(*options, env=reached))
    nodes = json.loads((folder / "audit").read_text())["cluster"]["nodes"]
    record("23-ray-grows", clips=len(forty), actors=sum(node["actors"] for node in nodes), **totals)
    assert totals["differing_bytes"] == 0
