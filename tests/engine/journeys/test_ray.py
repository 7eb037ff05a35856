"""``run --on ray``: a real Ray on this machine, two actors, and the table of a run without it."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from tests import in_process
from tests.clips import Encode
from tests.in_process import saliency_batch, stderr_of
from tests.object_store import BUCKET, Store, known_store
from tests.processes import finished_clips, session_members, start, until
from tests.rows import read_rows, write_rows

from saliency_engine.config import RunConfig
from saliency_engine.errors import ConfigError
from saliency_engine.jobs.run import run_table
from saliency_engine.pipeline import ray_cluster
from saliency_engine.pipeline.on_ray import _PATIENCE
from saliency_engine.table_job import TableJob

CLIPS = 20  # more than an actor gets in one call
RUN = ("--model", "frequency_tuned_v1")
ON_RAY = (*RUN, "--on", "ray", "--actors", "2", "--audit-json", "audit.json")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encode: Encode) -> Path:
    """The current folder, with clips of which one is missing and one is none, in a table that names each twice."""
    monkeypatch.chdir(tmp_path)
    made = encode("clip.mp4", size=(96, 96), frames=9)
    names = [f"{number}.mp4" for number in range(CLIPS)]
    for name in names[2:]:
        shutil.copy(made, name)
    Path("1.mp4").write_bytes(b"x" * 500)
    write_rows(tmp_path / "in.jsonl", [{"src": name} for name in [*names, *names]])
    saliency_batch("run", "in.jsonl", "-o", "alone.jsonl", *RUN, "--memo", "off", code=1)
    return tmp_path


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A store that is known here, and to the actors of the Ray that is started after it."""
    with known_store(tmp_path_factory.mktemp("cache")) as server:
        in_process.start_anew()  # its workers fetch, too
        yield server
    in_process.start_anew()


@pytest.fixture(scope="module")
def address(store: Store) -> Iterator[str]:  # noqa: ARG001
    """Of a Ray with two cores, to which this process is connected: in it, a command uses that one."""
    if importlib.util.find_spec("ray") is None:
        pytest.skip("Ray is not installed: there may be no package for this Python")
    with mock.patch.object(ray_cluster, "cores", return_value=2), ray_cluster.connected("local") as ray:
        yield ray.get_runtime_context().gcs_address


def _actors() -> set[int]:
    """The processes that are actors of ours, of the Ray that this process has started: tests run side by side."""
    parents, actors = {}, set()
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            if (entry / "cmdline").read_bytes().startswith(b"ray::_Actor"):
                actors.add(int(entry.name))
    return {actor for actor in actors if os.getpid() in _ancestors(actor, parents)}


def _ancestors(process: int, parents: dict[int, int]) -> set[int]:
    above: set[int] = set()
    while process := parents.get(process, 0):
        above.add(process)
    return above


@pytest.mark.usefixtures("address")
def test_the_table_of_two_actors_is_that_of_one_run(here: Path) -> None:
    """``make torture`` does so with forty clips, and kills what runs."""
    Path("numba.py").write_text("raise SystemExit('a module that lies beside the clips was run')\n")
    messages = stderr_of("run", "in.jsonl", "-o", "out.jsonl", *ON_RAY, "--progress", "json", code=1)
    assert Path("out.jsonl").read_bytes() == Path("alone.jsonl").read_bytes()
    audit = json.loads(Path("audit.json").read_text())
    clips = [audit["clips"][name] for name in ("computed", "reused", "failed")]
    assert clips == [CLIPS - 2, 0, 1]
    (node,) = audit["cluster"]["nodes"]
    assert (node["actors"], node["clips"], node["failed"]) == (2, CLIPS - 1, 1)
    assert 0 < node["stages"]["decode"]["share"] <= 1
    assert "decode" not in audit["stages"], "clips were decoded here, too"
    assert f"{node['node']}: {CLIPS - 1} clips, 1 failed" in messages
    slow = f"note: no actor has started for {_PATIENCE:g} s: "  # ours, too, on a machine that is busy
    lines = [line for line in messages.splitlines() if not line.startswith((" ", "{", slow))]
    ours = {"model", "rows", "clips", "time", "cluster", "output", "audit", "memo", "saliency-batch:"}
    assert {line.split()[0] for line in lines} <= ours, "Ray talks"
    assert {path.suffix for path in here.iterdir()} == {".mp4", ".py", ".jsonl", ".json", ".sqlite"}


@pytest.mark.usefixtures("here")
def test_a_killed_actor_and_a_killed_command_cost_no_finished_clip(address: str) -> None:
    memo = Path("saliency.memo.sqlite")
    one = (*ON_RAY, "--actors", "1")
    process = start("in.jsonl", "-o", "out.jsonl", *one, env={"RAY_ADDRESS": address})
    until(lambda: process.poll() is not None or bool(_actors()), "no actors")
    os.kill(min(_actors()), signal.SIGKILL)
    until(lambda: process.poll() is not None or bool(finished_clips(memo)), "no clip")
    process.kill()
    process.communicate()
    until(lambda: not session_members(process.pid) and not _actors(), "processes are left")
    kept = len(finished_clips(memo))
    saliency_batch("run", "in.jsonl", "-o", "out.jsonl", *one, code=1)
    assert Path("out.jsonl").read_bytes() == Path("alone.jsonl").read_bytes()
    clips = json.loads(Path("audit.json").read_text())["clips"]
    assert (clips["reused"], clips["computed"]) == (kept, CLIPS - 2 - kept)


@pytest.mark.usefixtures("address")
def test_actors_fetch_the_clips_of_a_store(here: Path, store: Store) -> None:
    urls = [store.put(f"{number}.mp4", Path(f"{number}.mp4").read_bytes()) for number in range(1, 5)]
    missing = f"s3://{BUCKET}/missing.mp4"
    write_rows(here / "in.jsonl", [{"src": source} for source in [*urls, missing, "5.mp4", *urls]])
    saliency_batch("run", "in.jsonl", "-o", "local.jsonl", *RUN, "--memo", "off", "--allow-remote", code=1)
    shutil.rmtree(os.environ["XDG_CACHE_HOME"])
    store.asked.clear()
    saliency_batch("run", "in.jsonl", "-o", "out.jsonl", *ON_RAY, "--actors", "1", "--allow-remote", code=1)
    assert Path("out.jsonl").read_bytes() == Path("local.jsonl").read_bytes()
    statuses = ["decode-failed", "ok", "ok", "ok", "missing-source", "ok", "decode-failed", "ok", "ok", "ok"]
    assert [row["saliency_status"] for row in read_rows(Path("out.jsonl"))] == statuses
    assert {store.asked[f"GET {number}.mp4"] for number in range(1, 5)} == {1}, "clips were fetched here, too"
    audit = json.loads(Path("audit.json").read_text())
    assert [(node["clips"], node["failed"]) for node in audit["cluster"]["nodes"]] == [(5, 1)]
    assert "decode" not in audit["stages"]


def test_a_memo_that_knows_all_clips_needs_no_cluster(
    tmp_path: Path, encode: Encode, monkeypatch: pytest.MonkeyPatch
) -> None:
    from saliency_engine.jobs import cluster

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cluster, "load_ray", lambda: None)
    monkeypatch.setattr(cluster, "connected", lambda _: pytest.fail("a cluster was looked for"))
    write_rows(tmp_path / "in.jsonl", [{"src": str(encode("clip.mp4", size=(96, 96), frames=9))}])
    config = RunConfig(model="frequency_tuned_v1", decode_workers=1, memo="memo")
    run_table(TableJob(input="in.jsonl", output="a.jsonl", quiet=True), config)
    audit = run_table(TableJob(input="in.jsonl", output="b.jsonl", quiet=True, on="ray"), config)
    assert (audit["cluster"]["nodes"], audit["clips"]["reused"]) == ([], 1)
    assert Path("a.jsonl").read_bytes() == Path("b.jsonl").read_bytes()


def test_without_ray_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    from saliency_engine.pipeline.ray_cluster import load_ray

    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigError, match=r"pip install 'saliency-batch\[ray\]'"):
        load_ray()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"on": "local", "actors": "2"}, "--actors is for clusters: give --on ray, too"),
        ({"on": "local", "ray_address": "a:1"}, "--ray-address is for clusters"),
        ({"on": "local", "gpus_per_actor": 1.0}, "--gpus-per-actor is for clusters"),
        ({"on": "local", "cpus_per_actor": 1}, "--cpus-per-actor is for clusters"),
        ({"actors": "0"}, "--actors is '0': give a number"),
        ({"actors": "4:2"}, "--actors is '4:2': give a number, or the least and the most"),
        ({"maps": "maps"}, "--maps maps: maps do not travel"),
        ({"shard": "1/2"}, "divide the clips in two ways"),
        ({"input": "-"}, "reads the input twice"),
    ],
)
def test_what_does_not_go_together_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TableJob(**{"input": "i.jsonl", "output": "o.jsonl", "on": "ray", **options})
