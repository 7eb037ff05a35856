"""Peak memory of a run over clips of 1920x1080, few and many: it must not grow with their number.

    python bench/clip_memory.py MODEL.onnx [MODEL.onnx …] [--few 16] [--many 64] [--providers cpu openvino]
        [--output FOLDER]

This measures the whole command, `saliency-batch run`, with its default settings. Memory is the largest sum of the
proportional set sizes (PSS) of all its processes, read from /proc some thirty times a second. The bar is 1.2 GB (10^9
bytes).
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from pathlib import Path
from typing import Any

from harness.inputs import make_clips
from harness.memory import COMMAND, measure, model_options
from harness.results import RESULTS, save

BAR_MB = 1200


def main() -> None:
    """Run every case and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", type=Path, help="ONNX files")
    parser.add_argument("--few", type=int, default=16)
    parser.add_argument("--many", type=int, default=64)
    parser.add_argument("--providers", nargs="+", default=["cpu", "openvino"])
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder for the JSON file")
    arguments = parser.parse_args()
    results = []
    with tempfile.TemporaryDirectory() as folder:
        originals = make_clips(Path(folder), arguments.few, 1920, 1080)
        clips = [Path(folder) / f"again-{number}.mp4" for number in range(arguments.many)]
        for number, clip in enumerate(clips):
            os.link(originals[number % len(originals)], clip)  # another name is another clip to the engine
        print("| model | provider | clips | peak | bar 1,200 MB | clips/s |\n|---|---|---:|---:|---|---:|")
        for model in arguments.models:
            for provider in arguments.providers:
                for count in (arguments.few, arguments.many):
                    results.append(_measure(Path(folder), model, provider, clips[:count]))
                    print(_format_line(results[-1]), flush=True)
    save("clip_memory", {"results": results}, arguments.output)


def _measure(folder: Path, model: Path, provider: str, clips: list[Path]) -> dict[str, Any]:
    table, output = folder / "in.jsonl", folder / "out.jsonl"
    table.write_text("".join(json.dumps({"src": str(clip)}) + "\n" for clip in clips))
    command = [*COMMAND, "--input", str(table), "--output", str(output), "--memo", "off"]
    seconds, peak = measure([*command, *model_options(model), "--provider", provider])
    return {"model": model.stem, "provider": provider, "clips": len(clips), "peak_mb": peak, "seconds": seconds}


def _format_line(result: dict[str, Any]) -> str:
    met = "met" if result["peak_mb"] <= BAR_MB else "missed"
    first = f"| {result['model']} | {result['provider']} | {result['clips']}"
    return f"{first} | {result['peak_mb']} MB | {met} | {result['clips'] / result['seconds']:.2f} |"


if __name__ == "__main__":
    main()
