"""Kernels and stages beside the plain ways to do the same, one thread each: times and ratios.

    python bench/stages.py [--output FOLDER]

pytest-benchmark runs the cases in side_by_side/, each of which first checks that the ways agree. Times are medians;
`… times ours` says how many times as long the other way takes.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from harness.results import RESULTS, save

_HERE = Path(__file__).resolve().parent


def main() -> None:
    """Run them and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder for the JSON file")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        # bench_*.py, so that no test run collects them
        command = [sys.executable, "-m", "pytest", "-q", "-o", "python_files=bench_*.py", "--benchmark-quiet"]
        command += ["-o", f"pythonpath={_HERE}"]  # where the cases find harness/
        command += ["--benchmark-warmup=on", "--benchmark-min-rounds=7", f"--benchmark-json={report}"]
        command.append(str(_HERE / "side_by_side"))
        done = subprocess.run(command, check=False, cwd=_HERE.parent, capture_output=True, text=True)
        if done.returncode:
            sys.exit(done.stdout + done.stderr)
        cases = json.loads(report.read_text())["benchmarks"]
    groups: dict[str, dict[str, float]] = {}
    for case in cases:
        groups.setdefault(case["group"], {})[case["params"]["way"]] = round(1e3 * case["stats"]["median"], 4)
    print(_markdown(groups))
    save("stages", {"unit": "ms, median", "stages": groups}, arguments.output)


def _markdown(groups: dict[str, dict[str, Any]]) -> str:
    lines = ["| | engine, ms | the other way, ms | … times ours |", "|---|---:|---:|---:|"]
    for group, ways in groups.items():
        for way, milliseconds in ways.items():
            if way != "engine":
                ratio = milliseconds / ways["engine"]
                lines.append(f"| {group}: {way} | {ways['engine']:.3g} | {milliseconds:.3g} | {ratio:.2g} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
