"""``saliency-export distill``: a fast student of a heavy teacher, on the corpus at hand."""

from __future__ import annotations

import os
import time
from typing import Any

import click

from saliency_engine.report.terminal import printable
from saliency_exporter.commands import FILE, FOLDER, print_output

_EVERY_SECONDS = 30.0


@click.command("distill")
@click.option("--teacher", type=FILE, required=True, help="ONNX model whose maps are learned.")
@click.option(
    "--frames",
    multiple=True,
    required=True,
    metavar="CLIPS|FOLDER|TABLE",
    help="Learn from these: clips, pictures, folders of both, a pattern, a list or a table. May be given again.",
)
@click.option("--output", type=FILE, required=True, help="ONNX file to write.")
@click.option("--minutes", type=click.FloatRange(min=0, min_open=True), help="Train for so long.")
@click.option("--steps", type=click.IntRange(min=1), help="Train for so many steps of 8 frames, in place of --minutes.")
@click.option(
    "--gate-r",
    type=click.FloatRange(0, 1),
    default=0.9,
    show_default=True,
    help="Least mean correlation with the teacher's maps of frames that were held out.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of all that is drawn.")
@click.option("--from-scratch", is_flag=True, help="Begin with nothing, not with ImageNet weights in the encoder.")
@click.option("--model-id", help="Id to write into the file.  [default: OUTPUT's name without .onnx]")
@click.option(
    "--work", type=FOLDER, help="Folder for what an interrupted command goes on from.  [default: OUTPUT.work]"
)
@click.option(
    "--provider",
    type=click.Choice(["auto", "cpu", "openvino", "cuda", "tensorrt"]),
    default="auto",
    show_default=True,
    help="What runs the teacher.",
)
@click.option(
    "--precision",
    type=click.Choice(["float32", "bfloat16"]),
    default="float32",
    show_default=True,
    help="Of the teacher; bfloat16 is faster where the processor has it.",
)
def distill_command(**options: Any) -> None:
    """Train a compact network of our own towards TEACHER's maps of your frames, and prove it.

    Each frame's map is computed once and kept. Clips, or folders of pictures, are held out to judge the student by
    their maps and by the clips' mean saliency. It is written only where it comes near enough to the teacher: see
    --gate-r. An interrupted command goes on where it stopped, and one with more --minutes trains on.

    \b
    Example:
      saliency-export distill --teacher u2net_mirror_v1.onnx --frames clips.jsonl --output my_student_v1.onnx \\
        --minutes 60
      saliency-batch run --input clips.jsonl --output out.jsonl --model-path my_student_v1.onnx
    """
    # Else threads that wait for each other spin: beside other work a step took 2.9 s of processor time in place of 0.7.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from saliency_exporter.distill.export import DistillOptions, Watcher, distill

    lines = _Lines()
    manifest = distill(DistillOptions(**options), Watcher(lines.say, lines.show_teaching, lines.show_learning))
    figures, means = manifest["held_out"], manifest["held_out"]["clip_means"]
    lines.say(
        f"{manifest['model_id']} against its teacher on {figures['frames']} frames of {figures['clips']} clips that it "
        f"has not seen: correlation {figures['correlation']:.3f} (median {figures['median_correlation']:.3f}), "
        f"|Δmean| ≤ {figures['delta_mean']:.3f}, |Δvar| ≤ {figures['delta_var']:.3f}; clip means: correlation "
        f"{means['correlation']:.3f} [{means['low']:.3f}, {means['high']:.3f}]; {figures['student_ms']:.1f} ms a frame "
        f"on one thread, teacher {figures['teacher_ms']:.1f}"
    )
    print_output(manifest)


class _Lines:
    """What is told on stderr: a line at once, or now and then how far it is."""

    def __init__(self) -> None:
        self._told = self._started = time.monotonic()
        self._first: float | None = None

    def say(self, text: str) -> None:
        click.echo(printable(text), err=True)

    def show_teaching(self, done: int, total: int) -> None:
        if self._first is None:
            self._first, self._started = done, time.monotonic()
        left = (time.monotonic() - self._started) / max(done - self._first, 1) * (total - done)
        if done:
            self._tell(f"taught: {done} of {total} frames, about {_minutes(left)} left")

    def show_learning(self, progress: Any) -> None:
        left = progress.seconds / progress.share * (1 - progress.share)
        rate = progress.step / progress.seconds
        self._tell(
            f"trained: {progress.share:.0%}, {progress.step} steps, {rate:.2f} a second, loss {progress.loss:.3f}, "
            f"about {_minutes(left)} left"
        )

    def _tell(self, text: str) -> None:
        if time.monotonic() - self._told > _EVERY_SECONDS:
            self._told = time.monotonic()
            self.say(text)


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 60 else f"{seconds:.0f} s"
