"""``saliency-export distill``: a fast student of a heavy teacher, on the corpus at hand."""

from __future__ import annotations

import math
import os
from typing import Any

import click

from saliency_engine.report.terminal import counted
from saliency_exporter.commands import FILE, FOLDER, Lines, find_model, format_time, print_output
from saliency_exporter.torch_version import check_torch


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
@click.option("--steps", type=click.IntRange(min=1), help="Train for so many steps, in place of --minutes.")
@click.option(
    "--gate-r",
    type=click.FloatRange(0, 1),
    default=0.9,
    show_default=True,
    help="Least mean correlation with the teacher's maps of frames that were held out.",
)
@click.option("--reteach", is_flag=True, help="Let TEACHER see every changed frame. It needs a fast one, or a card.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of all that is drawn.")
@click.option(
    "--fine-tune",
    type=FILE,
    callback=find_model,
    metavar="STUDENT",
    help="Train this student further, by its file or id. saliency_open_v1 is one.",
)
@click.option(
    "--keep",
    type=click.FloatRange(0, 1),
    default=0.0,
    show_default=True,
    help="With --fine-tune: write the mean of its weights, by this share, and of those that were learned.",
)
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
    type=click.Choice(["float32", "bfloat16", "float16"]),
    default="float32",
    show_default=True,
    help="Of the teacher. bfloat16 is faster where the processor has it, float16 on a card.",
)
def distill_command(**options: Any) -> None:
    """Train a compact network of our own towards TEACHER's maps of your frames, and prove it.

    Each frame's map is computed once and kept. An eighth of the clips and pictures, with whatever shows the same, is
    held out to judge the student by maps and by clips' mean saliency. It is written only where it comes near enough to
    the teacher: see --gate-r. An interrupted command goes on where it stopped, and one with more --minutes trains on.

    \b
    Example:
      saliency-export distill --teacher u2net_mirror_v1.onnx --frames clips.jsonl --output my_student_v1.onnx \\
        --minutes 60
      saliency-batch run --input clips.jsonl --output out.jsonl --model-path my_student_v1.onnx
    """
    # Else threads that wait for each other spin: beside other work a step took 2.9 s of processor time in place of 0.7.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    check_torch("distilling")
    from saliency_exporter.distill.export import distill
    from saliency_exporter.distill.options import DistillOptions, Watcher

    lines, settings = _Lines(), DistillOptions(**options)
    watcher = Watcher(lines.say, lines.show_reading, lines.show_teaching, lines.show_learning)
    try:
        manifest = distill(settings, watcher)
    except KeyboardInterrupt:
        lines.say(f"interrupted: the same command goes on from what is in {settings.work_folder}")
        click.get_current_context().exit(130)
    lines.say(_summarize(manifest))
    print_output(manifest)


def _summarize(manifest: dict[str, Any]) -> str:
    figures = manifest["held_out"]
    means = figures["clip_means"]
    correlation = f"correlation {means['correlation']:.3f} [{means['low']:.3f}, {means['high']:.3f}]"
    if math.isnan(means["correlation"]):
        correlation = "too few for a correlation"
    salient = figures["with_salient"]
    alone = ""
    if 0 < salient["frames"] < figures["frames"]:
        alone = (
            f" (of the {salient['frames']} in which the teacher finds something alone: {salient['correlation']:.3f}, "
            f"median {salient['median_correlation']:.3f})"
        )
    return (
        f"{manifest['model_id']} against its teacher on {counted(figures['frames'], 'frame')} of "
        f"{counted(figures['clips'], 'clip')} that it has not seen: correlation {figures['correlation']:.3f} (median "
        f"{figures['median_correlation']:.3f}){alone}, |Δmean| ≤ {figures['delta_mean']:.3f}, |Δvar| ≤ "
        f"{figures['delta_var']:.3f}; clip means: {correlation}, mean |Δ| {means['mae']:.3f}; "
        f"{figures['student_ms']:.1f} ms a frame on one thread, teacher {figures['teacher_ms']:.1f}"
    )


class _Lines(Lines):
    """What is written on stderr."""

    def show_reading(self, done: int, total: int) -> None:
        self.show_part("read", done, total, "clips and pictures")

    def show_teaching(self, done: int, total: int) -> None:
        self.show_part("taught", done, total, "frames")

    def show_learning(self, progress: Any) -> None:
        if not self.is_time():
            return
        left = progress.seconds / progress.share * (1 - progress.share)
        agreement = "" if math.isnan(progress.agreement) else f", held-out agreement {progress.agreement:.3f}"
        self.say(
            f"trained: {progress.share:.0%}, {progress.step} steps, {progress.step / progress.seconds:.2f} a second, "
            f"loss {progress.loss:.3f}{agreement}, about {format_time(left)} left"
        )
