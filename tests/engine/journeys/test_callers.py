"""An engine wherever people call it from: scripts of every kind, pools, forks, threads; it works, or says why not."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pytest
from tests.processes import HANG

from saliency_engine import Engine, RunConfig
from saliency_engine.errors import WorkerError

COMPUTE = """
import pyarrow as pa
from saliency_engine import Engine, RunConfig

def status(engine, clip):
    (batch,) = engine.process([pa.record_batch({"src": [clip]})])
    return batch["saliency_status"][0].as_py()

def compute(clip, memo="off"):
    with Engine(RunConfig(model="frequency_tuned_v1", decode_workers=1, memo=memo)) as engine:
        return status(engine, clip)
"""
UNGUARDED = COMPUTE + "import sys\nprint(compute(sys.argv[1]))\n"
ENRICH = """
import sys
from saliency_engine import compute_clip, enrich
print(*enrich([sys.argv[1]], model="frequency_tuned_v1", decode_workers=1)["saliency_status"].to_pylist())
print(len(compute_clip(sys.argv[1], model="frequency_tuned_v1").maps))
"""
POOL = """
import multiprocessing, sys
if __name__ == "__main__":
    if "before" in sys.argv:
        print(compute(sys.argv[1]))
    with multiprocessing.get_context(sys.argv[2]).Pool(2) as pool:
        print(*pool.map(compute, [sys.argv[1]] * 2))
"""
NO_FILE = f"""
import sys, types
main = sys.modules["__main__"] = types.ModuleType("__main__")
del main.__spec__
exec({UNGUARDED!r}, main.__dict__)
"""
FORK = """
import os, sys, warnings
warnings.filterwarnings("ignore", "This process", DeprecationWarning)  # Python since 3.12, at every fork beside threads
from saliency_engine.errors import WorkerError
clip, memo, other = sys.argv[1:]
with Engine(RunConfig(model="frequency_tuned_v1", decode_workers=1, memo=memo)) as engine:
    print(status(engine, clip), flush=True)
    worker = engine._runner.pool._workers[0].process.pid
    child = os.fork()
    if child == 0:
        try:
            status(engine, clip)
        except WorkerError as error:
            print(error, flush=True)
        try:
            engine.compute_clip(clip)
        except WorkerError as error:
            print(error, flush=True)
        print(compute(clip, memo + "2"), flush=True)
        sys.exit(7)  # it leaves the engine's block, as the parent does below, and Python ends in good order
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
    print(status(engine, other), engine._runner.pool._workers[0].process.pid == worker)
print(compute(other, memo))
"""


def run(words: Sequence[str | Path], script: str = "", **options: str | Path) -> list[str]:
    """What Python prints with these arguments, and ``script`` on stdin."""
    command = [sys.executable, *map(str, words)]
    done = subprocess.run(command, input=script, capture_output=True, text=True, check=False, timeout=HANG, **options)  # type: ignore[call-overload]
    assert done.stderr == ""
    return str(done.stdout).splitlines()


def test_scripts_of_every_kind(tmp_path: Path, clips: dict[str, Path]) -> None:
    script, clip = tmp_path / "script.py", clips["bikes"]
    script.write_text(UNGUARDED)
    assert run([script, clip]) == ["ok"]
    assert run(["-", clip], UNGUARDED) == ["ok"]
    assert run(["-c", UNGUARDED, clip]) == ["ok"]
    assert run(["-m", "script", clip], cwd=tmp_path) == ["ok"]
    assert run(["-c", NO_FILE, clip]) == ["ok"]
    script.write_text(ENRICH)
    assert run([script, clip]) == ["ok", "8"]


@pytest.mark.parametrize(
    ("method", "before"), [("fork", ""), ("fork", "before"), ("spawn", ""), ("forkserver", "before")]
)
def test_in_a_pool(tmp_path: Path, clips: dict[str, Path], method: str, before: str) -> None:
    script = tmp_path / "pool.py"
    script.write_text(COMPUTE + POOL)
    assert run([script, clips["bikes"], method, before])[-1] == "ok ok"


def test_a_forked_process_leaves_its_parents_engine_alone(tmp_path: Path, clips: dict[str, Path]) -> None:
    lines = run(["-c", COMPUTE + FORK, clips["bikes"], tmp_path / "memo", clips["bigbuckbunny"]])
    reason = "this Engine belongs to the process that it was made in: make one in each process"
    assert lines == ["ok", reason, reason, "ok", "7", "ok True", "ok"]


def test_an_engine_is_not_sent_to_another_process() -> None:
    with (
        Engine(RunConfig(model="frequency_tuned_v1", decode_workers=1)) as engine,
        pytest.raises(WorkerError, match="cannot be sent to another process"),
    ):
        pickle.dumps(engine)


def test_threads_share_an_engine(clips: dict[str, Path]) -> None:
    batches = [pa.record_batch({"src": [str(clip)]}) for clip in clips.values()]
    with Engine(RunConfig(model="frequency_tuned_v1", decode_workers=2)) as engine:
        expected = list(engine.process(batches))
        with ThreadPoolExecutor(3) as threads:
            assert list(threads.map(lambda _: list(engine.process(batches)), range(6))) == [expected] * 6
    with Engine(RunConfig(model="frequency_tuned_v1", decode_workers=2)) as engine:
        with ThreadPoolExecutor(3) as threads:
            outcomes = threads.map(lambda batch: next(engine.process([batch])), batches)
            assert list(outcomes) == expected
        assert engine.counts.clips_computed == len(clips)


def test_calls_that_alternate(clips: dict[str, Path]) -> None:
    batches = [pa.record_batch({"src": [str(clip)]}) for clip in clips.values()]
    with Engine(RunConfig(model="frequency_tuned_v1", decode_workers=1)) as engine:
        one, other = engine.process(batches), engine.process(batches[::-1])
        first = next(one)
        del other
        again = engine.process(batches)
        assert next(again) == first
        assert [*one] == [*again]
