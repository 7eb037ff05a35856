"""A student of a heavy teacher on a corpus of one kind: how near it comes, and how much faster its rows are made.

    python bench/distilled.py TEACHER.onnx [--clips 40] [--minutes 15] [--rounds 3] [--work FOLDER] [--output FOLDER]

It draws the clips, distils a student of the teacher on them with `saliency-export distill`, and lets both make rows
with the engine, in turns. Agreement is that of the clips that were held out. The bars: a mean correlation of maps of
0.9, and ten times as many clips a second. With `--work` a run that was interrupted goes on from that folder, and one
with more `--minutes` trains on.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from harness.drawn import draw_clips
from harness.peers import OurEngine
from harness.race import Contender, race
from harness.results import RESULTS, save

BAR_CORRELATION = 0.9
BAR_SPEED = 10
_TEACHER, _STUDENT = "teacher", "student"


def main() -> None:
    """Measure, print Markdown, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("teacher", type=Path, help="ONNX file")
    parser.add_argument("--clips", type=int, default=40)
    parser.add_argument("--minutes", type=float, default=15)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--providers", nargs="+", default=["cpu", "openvino"])
    parser.add_argument("--work", type=Path, help="folder for clips and training, which is kept")
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder for the JSON file")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = asked.work or Path(temporary)
        clips = draw_clips(folder / "clips", asked.clips)
        student = folder / "student.onnx"
        held_out = _distil(asked.teacher, folder / "clips", student, asked.minutes)
        rates = {name: _race(asked.teacher, student, clips, name, asked.rounds) for name in asked.providers}
    figures = {"teacher": asked.teacher.stem, "clips": asked.clips, "minutes": asked.minutes, "held_out": held_out}
    print(_format(held_out, rates))
    save("distilled", {**figures, "clips_per_second": rates}, asked.output)


def _distil(teacher: Path, clips: Path, student: Path, minutes: float) -> dict[str, Any]:
    """Make the student; returns its figures on the clips that were held out."""
    command = [str(Path(sys.executable).with_name("saliency-export")), "distill", "--teacher", str(teacher)]
    command += ["--frames", str(clips), "--output", str(student), "--minutes", str(minutes), "--gate-r", "0"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    held_out: dict[str, Any] = json.loads(Path(f"{student}.manifest.json").read_text())["held_out"]
    return held_out


def _race(teacher: Path, student: Path, clips: list[Path], provider: str, rounds: int) -> dict[str, float]:
    """Clips per second of both, and the median of the rounds' ratios."""
    contenders = [
        Contender(name, OurEngine, {"model_path": str(path), "memo": "off", "provider": provider})
        for name, path in ((_TEACHER, teacher), (_STUDENT, student))
    ]
    turns = race(contenders, rounds, clips, clips[0], few={_TEACHER})
    seconds = {name: [turn.seconds / turn.clips for turn in each] for name, each in turns.items()}
    ratio = statistics.median(a / b for a, b in zip(seconds[_TEACHER], seconds[_STUDENT], strict=True))
    return {
        **{name: round(1 / statistics.median(each), 3) for name, each in seconds.items()},
        "times_as_fast": round(ratio, 1),
    }


def _format(held_out: dict[str, Any], rates: dict[str, dict[str, float]]) -> str:
    reached, means = held_out["correlation"], held_out["clip_means"]
    lines = [
        f"{held_out['frames']} frames of {held_out['clips']} clips that were held out: mean correlation {reached:.3f} "
        f"(bar {BAR_CORRELATION}: {'met' if reached >= BAR_CORRELATION else 'missed'}), median "
        f"{held_out['median_correlation']:.3f}, largest |Δmean| {held_out['delta_mean']:.3f}, mean |Δ| of clips' means "
        f"{means['mae']:.3f}",
        "",
        "| | teacher, clips/s | student, clips/s | times as fast | bar |",
        "|---|---:|---:|---:|---|",
    ]
    for name, rate in rates.items():
        verdict = "met" if rate["times_as_fast"] >= BAR_SPEED else "missed"
        lines.append(f"| {name} | {rate[_TEACHER]:g} | {rate[_STUDENT]:g} | {rate['times_as_fast']:g} | {verdict} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
