"""What a cluster costs: the same table on this machine without Ray and with one actor of Ray.

    python bench/on_ray.py [MODEL.onnx] [--clips 200] [--rounds 3] [--size 960x540] [--output FOLDER]

Without a model it measures the built-in one. The cases take turns, each with a memo of its own; figures are medians.
`start` is the time until the first clip is finished, which for Ray has the start of Ray itself in it; `rate` is clips a
second from there to the last one. The bar: with Ray at least 85% of the rate without it. The tables must be the same.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from harness.inputs import make_clips
from harness.memory import COMMAND, model_options
from harness.results import RESULTS, save

BAR = 0.85
CASES: dict[str, list[str]] = {"local": [], "ray": ["--on", "ray", "--actors", "1"]}


def main() -> None:
    """Run both cases in turns and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", type=Path, default=Path("saliency_open_v1"), help="ONNX file")
    parser.add_argument("--clips", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--size", default="960x540")
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder for the JSON file")
    arguments = parser.parse_args()
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in CASES}
    with tempfile.TemporaryDirectory() as folder:
        width, height = map(int, arguments.size.split("x"))
        clips = make_clips(Path(folder), arguments.clips, width, height)
        (Path(folder) / "in.jsonl").write_text("".join(json.dumps({"src": str(clip)}) + "\n" for clip in clips))
        for _ in range(arguments.rounds):
            tables = set()
            for name, options in CASES.items():
                runs[name].append(_run(Path(folder), arguments.model, options))
                tables.add((Path(folder) / "out.jsonl").read_bytes())
            if len(tables) > 1:
                sys.exit("the tables differ")
    results = {
        name: {key: round(statistics.median(run[key] for run in those), 2) for key in those[0]}
        for name, those in runs.items()
    }
    share = results["ray"]["rate"] / results["local"]["rate"]
    print(f"{arguments.clips} clips of {arguments.size}, {arguments.model.stem}\n")
    print("| | s until the first clip | clips/s from there | s in all |\n|---|---|---|---|")
    for name, figures in results.items():
        print(f"| {name} | {figures['start']} | {figures['rate']} | {figures['seconds']} |")
    print(f"\nWith one actor {share:.0%} of the rate without Ray; the bar is {BAR:.0%}")
    settings = {"clips": arguments.clips, "size": arguments.size, "model": arguments.model.stem}
    save("on_ray", {**settings, "rounds": arguments.rounds, "share": round(share, 3), **results}, arguments.output)


def _run(folder: Path, model: Path, options: list[str]) -> dict[str, float]:
    """Run the command; how long it took until its memo had the first clip, and how fast the others came."""
    memo = folder / "memo.sqlite"
    command = [*COMMAND, "--input", str(folder / "in.jsonl"), "--output", str(folder / "out.jsonl"), *options]
    command += [*model_options(model), "--memo", str(memo), "--quiet"]
    started = time.perf_counter()
    process = subprocess.Popen(command)
    counts: list[tuple[float, int]] = []  # when the memo had how many clips, as often as that changed
    while process.poll() is None:
        count = _count(memo)
        if count != (counts[-1][1] if counts else 0):
            counts.append((time.perf_counter() - started, count))
        time.sleep(0.02)
    seconds = time.perf_counter() - started
    if process.returncode or len(counts) < 2:
        sys.exit(f"the command ended with {process.returncode}, or too soon to see its clips come")
    for path in folder.glob("memo.sqlite*"):
        path.unlink()
    (first, few), (last, all_) = counts[0], counts[-1]
    return {"start": first, "rate": (all_ - few) / (last - first), "seconds": seconds}


def _count(memo: Path) -> int:
    if not memo.exists():
        return 0
    db = sqlite3.connect(f"file:{memo}?mode=ro", uri=True, timeout=10.0)
    try:
        return int(db.execute("SELECT count(*) FROM clips").fetchone()[0])
    except sqlite3.OperationalError:  # it is being made
        return 0
    finally:
        db.close()


if __name__ == "__main__":
    main()
