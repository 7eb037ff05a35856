"""What lies beside the clips is data: a Python file there is never run, whatever its name."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.exporter.upstream import StandIn, make_stand_in
from tests.processes import HANG
from tests.rows import read_rows

from saliency_engine.pipeline import interpreters

MODULES = (
    *("av", "numpy", "numba", "orjson", "pyarrow", "saliency_engine", "onnxruntime", "torch", "encodings"),
    *("select", "random", "socket", "multiprocessing", "signal", "tempfile", "pickle", "threading", "typing", "re"),
)
COMMAND = (Path(sys.executable).with_name("saliency-batch"),)
AS_MODULE = (sys.executable, "-m", "saliency_engine")
RUN = ("run", "--input", "in.jsonl", "--output", "out.jsonl", "--model", "frequency_tuned_v1", "--quiet")
SCRIPT = """
from saliency_engine import Engine, RunConfig
import pyarrow as pa
engine = Engine(RunConfig(model="frequency_tuned_v1"))
rows = [row for batch in engine.process([pa.record_batch({"src": ["clip.mp4"]})]) for row in batch.to_pylist()]
engine.close()
assert rows[0]["saliency_status"] == "ok", rows
"""  # without `if __name__ == "__main__"`, as in a notebook


@pytest.fixture
def here(tmp_path: Path, clips: dict[str, Path]) -> Path:
    """A folder with a clip, its table, and a Python file for each of ``MODULES`` that leaves a trace when it is run."""
    folder = tmp_path / "here"
    folder.mkdir()
    shutil.copy(clips["bikes"], folder / "clip.mp4")
    (folder / "in.jsonl").write_text('{"src": "clip.mp4"}\n')
    for name in MODULES:
        (folder / f"{name}.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'a').write(__file__ + chr(10))\n")
    return folder


def run(folder: Path, *command: str | Path, **environment: str) -> None:
    """Run ``command`` in ``folder``; no Python file there may be run."""
    env = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"} | environment
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=HANG, check=False)
    trace = folder.parent / "ran"
    assert not trace.exists(), trace.read_text()
    assert done.returncode == 0, done.stderr


def test_a_run(here: Path) -> None:
    run(here, *COMMAND, *RUN)
    assert read_rows(here / "out.jsonl")[0]["saliency_status"] == "ok"


def test_a_run_of_an_interpreter_that_ignores_the_environment(here: Path) -> None:
    code = "import sys; del sys.path[0]; from saliency_engine.cli.app import main; main()"
    run(here, sys.executable, "-E", "-c", code, *RUN)


def test_the_package_as_a_program(here: Path) -> None:
    (here / "saliency_engine.py").unlink()  # it is what -m runs then
    run(here, *AS_MODULE, *RUN)


SHORT = ("--batch-size", "8", "--precision", "float32", "--rounds", "1")
"""For `bench`: one setting, measured once."""


@pytest.mark.parametrize(
    "options",
    [
        ("doctor",),
        ("preview", "--input", "in.jsonl", "--output", "sheet.png", "--model", "frequency_tuned_v1"),
        ("bench", "in.jsonl", "--model", "frequency_tuned_v1", "--provider", "cpu", "--threads", "1", *SHORT),
        ("show", "in.jsonl"),
        ("models", "list"),
    ],
    ids=lambda options: str(options[0]),
)
def test_every_other_command(here: Path, options: Sequence[str]) -> None:
    run(here, *COMMAND, *options)


def test_the_exporters_child(here: Path) -> None:
    pytest.importorskip("torch", reason="torch is not installed (extra: export)")
    stand_in: StandIn = make_stand_in(here / "U-2-Net")
    options = ("--upstream-dir", stand_in.folder, "--output", "out.onnx", "--height", "48", "--width", "64")
    run(here, COMMAND[0].with_name("saliency-export"), "u2netp", *options, "--frames", "clip.mp4")


@pytest.mark.parametrize("as_script", [True, False], ids=["script", "-c"])
def test_an_engine_in_a_program_of_the_users(here: Path, as_script: bool) -> None:
    """The user's own process takes modules from its folder; the decoding processes do not."""
    for path in here.glob("*.py"):
        if path.stem not in ("av", "scipy", "tbb", "helper"):  # modules that only decoding processes look for
            path.unlink()
    (here / "script.py").write_text(SCRIPT)
    run(here, sys.executable, *(["script.py"] if as_script else ["-c", SCRIPT]))


def test_pythonpath_stays(here: Path, tmp_path: Path) -> None:
    """A module that only PYTHONPATH gives is there in the decoding processes."""
    own = tmp_path / "own"
    own.mkdir()
    (own / "sitecustomize.py").write_text("")
    (own / "av.py").write_text(f"open({str(tmp_path / 'honoured')!r}, 'w'); raise ImportError('from PYTHONPATH')\n")
    env = {**os.environ, "PYTHONPATH": str(own)}
    subprocess.run([*COMMAND, *RUN], cwd=here, env=env, capture_output=True, timeout=HANG, check=False)
    assert (tmp_path / "honoured").exists()


def test_only_what_the_interpreter_added_leaves_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    package = str(Path(interpreters.__file__).resolve().parents[2])
    monkeypatch.setattr("sys.argv", ["/clips/script.py"])
    monkeypatch.setattr("multiprocessing.process.ORIGINAL_DIR", "/start")
    monkeypatch.delenv("PYTHONPATH", raising=False)
    for added in ("", "/start", "/clips"):
        assert interpreters.safe_path([added, "/lib", package]) == ["/lib", package]
        kept = [added] if added else []  # an empty entry is the current folder, wherever it stands
        assert interpreters.safe_path(["/own", added, package, added]) == ["/own", package, *kept]
    assert interpreters.safe_path(["/lib", package]) == ["/lib", package]
    assert interpreters.safe_path(["/clips", "/lib"]) == ["/lib", package]
    monkeypatch.setenv("PYTHONPATH", "/clips:/x")
    assert interpreters.safe_path(["/clips", "/x", package]) == ["/clips", "/x", package]
    assert interpreters.safe_path(["/clips", "/clips", "/x", package]) == ["/clips", "/x", package]
