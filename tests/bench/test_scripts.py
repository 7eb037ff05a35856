"""The benchmarks in bench/ are run by hand; here, that each one starts, and that the one for cards runs as a whole."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import PROJECT

FOLDER = PROJECT / "bench"
MODEL = PROJECT / "engine" / "saliency_engine" / "assets" / "frequency_tuned_v1.onnx"
SCRIPTS = sorted(path.name for path in FOLDER.glob("*.py") if "__main__" in path.read_text())


# Every script in a process of its own, but the libraries of all are loaded once: that took most of the time.
_SHOW_ALL_HELP = f"""
import os, runpy, sys
import saliency_engine, av, numba, onnx, onnxruntime, pyarrow.parquet
sys.path[0] = {str(FOLDER)!r}
for path in sys.argv[1:]:
    child = os.fork()
    if not child:
        sys.argv = [path, "--help"]
        runpy.run_path(path, run_name="__main__")
        sys.exit("it goes on after --help")
    if os.waitpid(child, 0)[1]:
        sys.exit(f"{{path}} failed, as above")
"""


def test_every_benchmark_says_how_it_is_used() -> None:
    command = [sys.executable, "-c", _SHOW_ALL_HELP, *(str(FOLDER / script) for script in SCRIPTS)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert re.findall(r"^usage: (\S+)", done.stdout, re.MULTILINE) == SCRIPTS


def test_the_benchmark_of_cards_runs_as_a_whole(tmp_path: Path) -> None:
    """On the processor: a stand-in for the card, which cannot be here."""
    options = ["--provider", "cpu", "--batches", "2", "--workers", "1", "--rounds", "1", "--seconds", "0.1"]
    command = [sys.executable, str(FOLDER / "gpu.py"), str(MODEL), *options, "--output", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (model,) = json.loads((tmp_path / "gpu_cpu.json").read_text())["models"]
    assert model["agreement"]["misses"] == []
    assert (model["agreement"]["parent"], model["agreement"]["repeats"]) == ("frequency_tuned_v1", True)
    checks = model["checks"]
    here = checks["numbers, normalised here"]
    assert here["repeats"]
    assert here["largest difference of a pixel"] < 1e-4
    assert checks.keys().isdisjoint({"numbers, no override"})  # nothing to override
    assert checks["start, batch 2"]["remark"] == "2 frames a call"
    assert (checks["calls at once"]["wrong"], checks["calls at once"]["maps differ"]) == (0, True)
    assert checks["copies, GB/s"]["from the card"] > 0
    (loop,), (run,) = model["loops"], model["end to end"]
    assert all("failed" not in loop[way] for way in ("bare", "normalised there", "normalised here"))
    assert run["of the bare loop"] == pytest.approx(run["frames_per_second"] / loop["bare"]["frames_per_second"])
    assert model["row at a time"]["clips_per_second"] > 0
    assert "| batch | decoders | frames/s |" in done.stdout


def _run_to_json(name: str, tmp_path: Path, *options: str) -> tuple[dict[str, Any], str]:
    """What ``bench/<name>.py`` writes into its one file, and what it prints."""
    command = [sys.executable, str(FOLDER / f"{name}.py"), *options, "--output", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (written,) = tmp_path.glob("*.json")
    return json.loads(written.read_text()), done.stdout


def test_what_a_clip_costs_a_cluster_is_measured_on_its_node_on_the_wire_and_here(tmp_path: Path) -> None:
    options = ["frequency_tuned_v1", "--clips", "20", "--sizes", "96x64", "--rows", "40", "--rounds", "1"]
    figures, printed = _run_to_json("scaling", tmp_path, *options)
    clip, driver = figures["clip"]["96x64"], figures["driver"]["40"]
    assert clip["decode_ms"] > 0
    assert clip["model_ms"] > 0
    assert 496 < clip["back_bytes"] < 3000  # the entry of 8 frames, with the clip's name
    assert all(driver[f"{part}_us"] > 0 for part in ("plan", "take", "take_last", "join"))
    assert printed.splitlines()[-1].startswith("| 40 |")


def test_a_cluster_of_sleepers_says_how_long_they_sleep_and_what_the_driver_takes(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="Ray is not installed: there may be no package for this Python")
    options = ["--actors", "2", "--clip-seconds", "0.02", "--minutes", "0.02"]
    figures, printed = _run_to_json("simulated_cluster", tmp_path, *options)
    (case,) = figures["cases"]
    assert case["clips"] == 2 * 16 * 4
    assert case["clips"] * 0.02 / 2 <= case["seconds"]
    assert 0 < case["asleep"] <= 1
    assert case["driver"] > 0
    assert "asleep, the first case: m" in printed


def test_work_that_fails_dies_or_hangs_costs_one_line_of_a_benchmark(tmp_path: Path) -> None:
    script = tmp_path / "script.py"  # a process that is started anew reads its main module again
    script.write_text(
        f"import sys; sys.path.insert(0, {str(FOLDER)!r})\n"
        "import atexit, json, os, time\n"
        "from harness.alone import run_alone\n"
        "def die_at_the_end():\n"
        "    atexit.register(os._exit, 3)\n"
        "    return {'rate': 1}\n"
        "if __name__ == '__main__':\n"
        "    lines = [run_alone(int, 'seven'), run_alone(os._exit, 3), run_alone(time.sleep, 60, limit=0.5)]\n"
        "    print(json.dumps([*lines, run_alone(die_at_the_end), run_alone(dict, {'rate': 2})]))\n"
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [
        {"failed": "ValueError: invalid literal for int() with base 10: 'seven'"},
        {"failed": "its process died with exit status 3"},
        {"failed": "no result in 0.5 s"},
        {"rate": 1, "failed": "its process died with exit status 3 after its result"},
        {"rate": 2},
    ]


# What follows stands in for a machine with a card: which processes would be started there, and with which settings.
_LIST = """
gpu.run_alone = lambda work, *arguments: {"work": work.__name__, "arguments": arguments}
models = [Path("u2netp.onnx"), Path("u2netp_fp16.onnx")]
for provider in ("cuda", "tensorrt", "cpu"):
    for model in models:
        loop = gpu.Loop(provider, 8, False, 1.0)
        checks = gpu._check_numbers(model, gpu._find_parent(model, models), loop, [])
        for name, check in checks.items():
            path, parent, _, _, settings = check["arguments"]
            asked = [settings.override, settings.uint16, settings.options.get("use_tf32")]
            lines.append([provider, path.stem, parent.stem, name, *asked])
"""


def _run_in_bench(*statements: str) -> Any:
    """What the statements leave in ``lines``, with the modules of ``bench/`` at hand."""
    first = f"import json, os, sys; sys.path.insert(0, {str(FOLDER)!r}); from pathlib import Path; lines = []"
    program = "\n".join([first, "import gpu", *statements, "print(json.dumps(lines))"])
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_cards_numbers_are_checked_with_and_without_each_thing_that_keeps_tf32_out() -> None:
    lines = _run_in_bench(_LIST)
    assert [line[3:] for line in lines if line[:2] == ["cuda", "u2netp"]] == [
        ["numbers, normalised here", True, False, None],
        ["numbers, without tensor cores, no override", False, True, "0"],
        ["numbers, tensor cores, override", True, True, "1"],
        ["numbers, tensor cores, no override", False, True, "1"],
    ]
    assert [line[4:] for line in lines if line[:2] == ["tensorrt", "u2netp"]] == [
        [True, False, None],
        [False, True, None],
    ]
    assert len([line for line in lines if line[0] == "cpu"]) == 2
    assert {line[2] for line in lines} == {"u2netp"}  # the half too is held to the model that it was made from


@pytest.mark.parametrize(("override", "expected"), [("True", "0"), ("False", None)])
def test_nvidias_libraries_load_with_the_override_or_without(override: str, expected: str | None) -> None:
    """As the engine loads them, whatever the shell has set."""
    options = _run_in_bench(
        "import onnxruntime",
        "from saliency_engine.inference import nvidia",
        "nvidia.has_nvidia_driver = lambda: True",
        "onnxruntime.preload_dlls = lambda: lines.append(os.environ.get('NVIDIA_TF32_OVERRIDE'))",
        "os.environ['NVIDIA_TF32_OVERRIDE'] = '1'",
        f"gpu.CardSettings({{'use_tf32': '1'}}, override={override}).apply()",
        "nvidia._preload('cuda')",
        f"model = gpu.gpu_loops.load(Path({str(MODEL)!r}))",
        "asked = nvidia.providers(model, 'cuda', (), graphs=False)",
        "lines.append(asked[gpu.CUDA]['use_tf32'])",
    )
    assert options == [expected, "1"]
