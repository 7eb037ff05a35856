"""What the kernel sees of a run over strange paths, by strace: only the clips are opened, and nothing connects."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from tests.clips import Encode
from tests.processes import MAIN
from tests.rows import write_clips
from tests.strange_paths import strange_sources
from tests.torture.conftest import Record

import saliency_engine

CALLS = "open,openat,openat2,creat,connect,sendto,sendmsg,bind,execve"
RUN = [*MAIN, "run", "--model", "frequency_tuned_v1"]
# Names differ from run to run: process ids, random folders, the file with which Python tries a temporary folder.
RANDOM = re.compile(
    rf"(?<=/saliency-batch-)\w+|(?<=/)tmp\w+|(?<=/pymp-)\w+|(?<=/listener-)\w+"
    rf"|(?<=^{re.escape(tempfile.gettempdir())}/)[a-z0-9_]{{8}}$|\d+"
)
# What Python imports, and which figures of the machine libraries look up, also differ from run to run.
PROGRAM = ("/sys/", sys.prefix, sys.base_prefix, str(Path(saliency_engine.__file__).parent))


class Trace:
    """A run under strace: what it opened, executed and sent."""

    def __init__(self, folder: Path, sources: list[str], *options: str) -> None:
        if shutil.which("strace") is None:
            pytest.skip("strace is not installed")
        for left in folder.glob("traced*"):
            left.unlink()
        write_clips(folder / "traced.jsonl", sources)
        log = folder / "traced.log"
        run = [*RUN, "--input", "traced.jsonl", "--output", "traced.out.jsonl", "--memo", "off", "--quiet", *options]
        command = ["strace", "-ff", "-y", "-o", str(log), "-e", f"trace={CALLS}", *run]
        done = subprocess.run(
            command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, timeout=300, check=False
        )
        assert done.returncode in (0, 1), done.stderr
        # A log for each thread, so that no call is torn in two by another thread's.
        logs = [part.read_text(errors="surrogateescape") for part in folder.glob("traced.log.*")]
        lines = [line for part in logs for line in part.splitlines()]
        self.statuses = [
            json.loads(line)["saliency_status"] for line in (folder / "traced.out.jsonl").read_text().splitlines()
        ]
        self.network = [line for line in lines if "AF_INET" in line]
        results = (re.search(r"\b(?:open\w*|creat)\(.* = \d+<(.*)>$", line) for line in lines)
        opened = [match[1] for match in results if match]
        executions = (re.search(r'execve\("([^"]*)".* = 0$', line) for line in lines)
        self.programs = {match[1] for match in executions if match}
        opened = [path for path in opened if not path.startswith(PROGRAM)]
        self.opened = {RANDOM.sub("#", path.encode().decode("unicode_escape")) for path in opened}


def names(folder: Path, sources: list[str]) -> set[str]:
    """The paths as they stand in a trace, where file names are bytes."""
    return {RANDOM.sub("#", os.fsencode(folder / source).decode("latin-1")) for source in sources}


def test_a_run_opens_its_clips_and_nothing_else(
    encode: Encode, clips: dict[str, Path], tmp_path: Path, record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    outside, folder = tmp_path / "outside", tmp_path / "clips"
    outside.mkdir()
    folder.mkdir()
    clip = clips["carphone_distorted"]
    canary = Path(shutil.copy(clip, outside / "canary.mp4"))
    monkeypatch.chdir(folder)
    made = strange_sources(clip, encode("plain.mov", frames=12), canary, "http://127.0.0.1:9")
    shutil.copy(clip, "good.mp4")
    Path("link.mp4").symlink_to("good.mp4")
    Path("out.mp4").symlink_to(canary)
    Path("away").symlink_to(outside)
    sources = [*made.missing, *made.refused, *made.whole]
    innocent = Trace(folder, ["good.mp4"])
    innocent = Trace(folder, ["good.mp4"])  # now every cache is warm
    strange = Trace(folder, sources)
    beyond = [str(canary), "out.mp4", "away/canary.mp4", "../outside/canary.mp4", "/etc/hostname"]
    confined = Trace(folder, ["link.mp4", *beyond], "--confine")
    unconfined = Trace(folder, ["out.mp4"])
    assert names(outside, ["canary.mp4"]) <= unconfined.opened  # the trace does see such an opening
    extra = strange.opened - innocent.opened - names(folder, made.refused + made.whole)
    extra |= confined.opened - innocent.opened - names(folder, ["good.mp4"])
    traces = (innocent, strange, confined)
    network = [line for trace in traces for line in trace.network]
    record(
        "09-paths",
        sources=len(sources) + 1 + len(beyond),
        files_opened_beside_the_clips=len(extra),
        network_calls=len(network),
    )
    assert not extra
    assert not network
    assert strange.programs == innocent.programs == confined.programs
    assert set(strange.statuses[-len(made.whole) :]) == {"ok"}
    assert confined.statuses == ["ok"] + ["missing-source"] * len(beyond)
