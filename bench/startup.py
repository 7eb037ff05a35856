"""How long the first result takes: the command on a table of one clip, with its files in the system's cache.

    python bench/startup.py [MODEL.onnx …] [--providers cpu openvino] [--rounds 7] [--size 960x540] [--output FOLDER]

Without a model it measures the built-in one. The cases take turns; figures are medians. `of it the model` is the time
that the model itself was busy, with eight frames; `imports` is a Python that imports the same modules and ends. The bar
is 2 s.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from harness.inputs import make_clips
from harness.memory import COMMAND, model_options
from harness.results import RESULTS, save

BAR = 2.0
_MODULES = {"cpu": "saliency_engine.inference.onnx_runtime", "openvino": "saliency_engine.inference.open_vino"}


def main() -> None:
    """Run every case and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", type=Path, help="ONNX files")
    parser.add_argument("--providers", nargs="+", default=["cpu", "openvino"], choices=list(_MODULES))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--size", default="960x540")
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder for the JSON file")
    arguments = parser.parse_args()
    models = arguments.models or [Path("saliency_open_v1")]
    cases = [(model, provider) for model in models for provider in arguments.providers]
    runs: dict[tuple[Path, str], list[dict[str, float]]] = {case: [] for case in cases}
    with tempfile.TemporaryDirectory() as folder:
        width, height = map(int, arguments.size.split("x"))
        (clip,) = make_clips(Path(folder), 1, width, height)
        (Path(folder) / "in.jsonl").write_text(json.dumps({"src": str(clip)}) + "\n")
        for index in range(arguments.rounds + 1):
            for case in cases:
                run = _run(Path(folder), *case)
                if index:  # the first warms the caches
                    runs[case].append(run)
    results = [
        {
            "model": model.stem,
            "provider": provider,
            **{name: round(statistics.median(run[name] for run in runs[model, provider]), 2) for name in run},
        }
        for model, provider in cases
    ]
    print(_markdown(results))
    save("startup", {"size": arguments.size, "rounds": arguments.rounds, "results": results}, arguments.output)


def _run(folder: Path, model: Path, provider: str) -> dict[str, float]:
    command = [*COMMAND, "--input", str(folder / "in.jsonl"), "--output", str(folder / "out.jsonl"), "--memo", "off"]
    command += [*model_options(model), "--provider", provider, "--audit-json", str(folder / "audit.json")]
    imports = [sys.executable, "-c", f"import saliency_engine.jobs.run, {_MODULES[provider]}"]
    seconds = {"seconds": _time(command), "imports": _time(imports)}
    audit = json.loads((folder / "audit.json").read_text())
    return {**seconds, "model_seconds": audit["stages"]["infer"]["seconds"]}


def _time(command: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True)
    return time.perf_counter() - started


def _markdown(results: list[dict[str, Any]]) -> str:
    lines = ["| model | provider | one clip | bar 2 s | of it the model | imports |", "|---|---|---:|---|---:|---:|"]
    for result in results:
        met = "met" if result["seconds"] <= BAR else "missed"
        lines.append(
            f"| {result['model']} | {result['provider']} | {result['seconds']} s | {met} | "
            f"{result['model_seconds']} s | {result['imports']} s |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
