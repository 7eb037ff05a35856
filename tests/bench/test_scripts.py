"""The benchmarks in bench/ are run by hand; here, that each one starts, and that the one for cards runs as a whole."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.conftest import PROJECT

FOLDER = PROJECT / "bench"
MODEL = PROJECT / "engine" / "saliency_engine" / "assets" / "frequency_tuned_v1.onnx"
SCRIPTS = sorted(path.name for path in FOLDER.glob("*.py") if "__main__" in path.read_text())


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_benchmark_says_how_it_is_used(script: str) -> None:
    command = [sys.executable, str(FOLDER / script), "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "usage:" in done.stdout


def test_the_benchmark_of_cards_runs_as_a_whole(tmp_path: Path) -> None:
    """On the processor: a stand-in for the card, which cannot be here."""
    options = ["--provider", "cpu", "--batches", "2", "--workers", "1", "--rounds", "1", "--seconds", "0.1"]
    command = [sys.executable, str(FOLDER / "gpu.py"), str(MODEL), *options, "--output", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (model,) = json.loads((tmp_path / "gpu_cpu.json").read_text())["models"]
    assert model["agreement"]["misses"] == []
    checks = model["checks"]
    assert checks["start, batch 2"]["remark"] == "2 frames a call"
    assert (checks["calls at once"]["wrong"], checks["calls at once"]["maps differ"]) == (0, True)
    assert checks["copies, GB/s"]["from the card"] > 0
    (loop,), (run,) = model["loops"], model["end to end"]
    assert all("failed" not in loop[way] for way in ("bare", "normalised there", "normalised here"))
    assert run["of the bare loop"] == pytest.approx(run["frames_per_second"] / loop["bare"]["frames_per_second"])
    assert model["row at a time"]["clips_per_second"] > 0
    assert "| batch | decoders | frames/s |" in done.stdout


def test_work_that_fails_dies_or_hangs_costs_one_line_of_a_benchmark(tmp_path: Path) -> None:
    script = tmp_path / "script.py"  # a process that is started anew reads its main module again
    script.write_text(
        f"import sys; sys.path.insert(0, {str(FOLDER)!r})\n"
        "import json, os, time\n"
        "from harness.alone import run_alone\n"
        "if __name__ == '__main__':\n"
        "    lines = [run_alone(int, 'seven'), run_alone(os._exit, 3), run_alone(time.sleep, 60, limit=0.5)]\n"
        "    print(json.dumps([*lines, run_alone(dict, {'rate': 2})]))\n"
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [
        {"failed": "ValueError: invalid literal for int() with base 10: 'seven'"},
        {"failed": "its process died with exit status 3"},
        {"failed": "no result in 0.5 s"},
        {"rate": 2},
    ]
