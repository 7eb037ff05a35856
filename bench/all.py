"""Every benchmark in turn, with the models at hand; figures go to bench/results/, the chart to docs/.

    python bench/all.py [--student FILE.onnx] [--student-int8 FILE.onnx] [--u2net FILE.onnx]
        [--u2netp FILE.onnx] [--u2netp-int8 FILE.onnx] [--checkout FOLDER] [--checkpoint FILE.pth]

The built-in model is always measured. With all of them it takes well over an hour on two cores. Nothing else should run
meanwhile.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

_HERE = Path(__file__).resolve().parent
BUILT_IN = _HERE.parent / "engine" / "saliency_engine" / "assets" / "saliency_open_v1.onnx"


def main() -> None:
    """Run them one after the other; exits with the status of the first one that fails."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("student", "student-int8", "u2net", "u2netp", "u2netp-int8", "checkout", "checkpoint"):
        parser.add_argument(f"--{name}", type=Path)
    given = parser.parse_args()
    light = [BUILT_IN, *([given.student] if given.student else [])]
    heavy = [model for model in (given.u2net, given.u2netp) if model]
    _run("stages.py")
    _run("end_to_end.py", BUILT_IN, *(["--script", given.student] if given.student else []))
    _run("sweep.py", BUILT_IN)
    if given.student:
        engines = ["--engines", "cpu", "openvino", "openvino:bfloat16", *_int8(given.student_int8)]
        _run("end_to_end.py", given.student, *engines)
        _run("sweep.py", given.student)
    if given.u2netp:
        engines = ["--engines", "cpu", "openvino", "openvino:bfloat16", *_int8(given.u2netp_int8)]
        eager = ["--torch", given.checkout, given.checkpoint] if given.checkout and given.checkpoint else []
        _run("end_to_end.py", given.u2netp, "--sizes", "960x540", "--clips", "3", *engines, *eager)
        _run("sweep.py", given.u2netp, "--clips", "4", "--workers", "1", "2", "3", "--threads", "2", "3")
    if given.u2net:
        _run("end_to_end.py", given.u2net, "--sizes", "960x540", "--clips", "2", "--rounds", "3")
    _run("points.py", *light)
    _run("clip_memory.py", *light, *heavy)
    _run("startup.py", *light, *heavy)
    _run("limits.py", *light)
    _run("decoding.py")
    _run("extras.py", *light)
    _run("samplings.py")
    _run("reuse.py", *([given.student] if given.student else []))
    _run("tables.py")
    _run("table_memory.py")
    _run("scaling.py")
    _run("chart.py")


def _int8(file: Path | None) -> list[str]:
    return [f"openvino:float32:{file}"] if file else []


def _run(script: str, *arguments: object) -> None:
    command = [sys.executable, str(_HERE / script), *map(str, arguments)]
    print(f"\n$ {' '.join(['python', f'bench/{script}', *command[2:]])}\n", flush=True)
    started = time.monotonic()
    done = subprocess.run(command, check=False)
    if done.returncode:
        sys.exit(done.returncode)
    print(f"\n({time.monotonic() - started:.0f} s)", flush=True)


if __name__ == "__main__":
    main()
