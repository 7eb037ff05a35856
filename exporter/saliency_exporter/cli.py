"""``saliency-export``: builds the ONNX models that saliency-batch runs. Heavy imports are inside the commands."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

from saliency_engine.errors import SaliencyError
from saliency_engine.report.terminal import printable
from saliency_exporter.commands import FILE, SIZE, Lines, find_model, frames_option, print_output
from saliency_exporter.distill_command import distill_command
from saliency_exporter.mirror_commands import release_command, rewrap_command, u2netp_command

CommandT = TypeVar("CommandT", bound=Callable[..., Any])


class _Commands(click.Group):
    """A group that turns errors raised on purpose into ``Type: message`` on stderr and exit code 2."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except SaliencyError as error:
            click.echo(f"{type(error).__name__}: {printable(error)}", err=True)
            ctx.exit(2)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="saliency-batch")
def main() -> None:
    """Build ONNX models for saliency-batch and prove them.

    Only u2netp and distill need pip install 'saliency-batch[export]'.
    """


for _command in (u2netp_command, rewrap_command, release_command, distill_command):
    main.add_command(_command)


def _add_model_and_output(command: CommandT) -> CommandT:
    command = click.option("--output", type=FILE, required=True, help="ONNX file to write.")(command)
    return click.argument("model", type=FILE, callback=find_model)(command)


@main.command("frequency-tuned")
@click.option("--output", type=FILE, required=True, help="ONNX file to write.")
def frequency_tuned_command(output: Path) -> None:
    """Write frequency_tuned_v1, the model without weights that saliency-batch has built in.

    The graph computes frequency-tuned saliency (Achanta et al., CVPR 2009) at 320×320. The file's bytes are the same
    every time.

    \b
    Example:
      saliency-export frequency-tuned --output frequency_tuned_v1.onnx
      saliency-batch run --input clips.jsonl --output out.jsonl --model-path frequency_tuned_v1.onnx
    """
    from saliency_engine.storage.atomic import write_together
    from saliency_engine.storage.overwrite import Files
    from saliency_exporter import frequency_tuned

    Files().writes("--output", output, holds=".onnx")
    content = frequency_tuned.build()
    write_together({output: content})
    click.echo(f"{hashlib.sha256(content).hexdigest()}  {output}")


@main.command("fix-shape")
@_add_model_and_output
@click.option("--batch", type=SIZE, required=True, help="Frames per call of the graph.")
@click.option("--height", type=SIZE, required=True, help="Input height in pixels.")
@click.option("--width", type=SIZE, required=True, help="Input width in pixels.")
@frames_option
def fix_shape_command(model: Path, output: Path, frames: tuple[str, ...], **shape: int) -> None:
    """Fix every dimension of MODEL: the frames per call, and height and width where it leaves them free.

    The id gains _WIDTHxHEIGHT_bBATCH. The maps may differ from the parent's by at most 1e-4.

    \b
    Example:
      saliency-export fix-shape saliency_student_v2.onnx --output saliency_student_v2_320x320_b8.onnx \\
        --batch 8 --height 320 --width 320
    """
    from saliency_exporter.variants.fix_shape import fix_shape

    _print_variant(fix_shape(model, output, clips=frames, **shape))


@main.command("resize")
@_add_model_and_output
@click.option("--height", type=SIZE, required=True, help="Input height in pixels.")
@click.option("--width", type=SIZE, required=True, help="Input width in pixels.")
@click.option(
    "--frames",
    multiple=True,
    required=True,
    metavar="CLIPS|TABLE",
    help="Measure on these clips: a clip, a folder, a pattern, a list or a table. May be given again.",
)
def resize_command(model: Path, output: Path, frames: tuple[str, ...], **size: int) -> None:
    """Give the weights of MODEL, whose size is fixed, another input size: smaller is faster.

    The result is another model, with an id of its own, which gains _WIDTHxHEIGHT: its maps are others, and how far
    they are from MODEL's is measured on your clips and written down. MODEL is a file, or the id of a built-in or
    installed model. Of saliency_open_v1, sizes are multiples of 32.

    \b
    Example:
      saliency-export resize saliency_open_v1 --output saliency_open_v1_256x256.onnx --height 256 --width 256 \\
        --frames clips.jsonl
      saliency-batch run --input clips.jsonl --output out.jsonl --model-path saliency_open_v1_256x256.onnx
    """
    from saliency_exporter.variants.resize import resize

    _print_variant(resize(model, output, clips=frames, **size))


@main.command("strided")
@_add_model_and_output
@frames_option
def strided_command(model: Path, output: Path, frames: tuple[str, ...]) -> None:
    """Rewrite the last stage of MODEL, a VMAFx student, in strided convolutions: the same maps, faster on CPUs.

    The id gains _strided. The maps may differ from the parent's by at most 1e-4.

    \b
    Example:
      saliency-export strided saliency_student_v2.onnx --output saliency_student_v2_strided.onnx
    """
    from saliency_exporter.variants.strided import strided

    _print_variant(strided(model, output, frames))


@main.command("fp16")
@_add_model_and_output
@frames_option
def fp16_command(model: Path, output: Path, frames: tuple[str, ...]) -> None:
    """Convert MODEL to half precision with float32 input and output, for GPUs.

    The id gains _fp16. The variant is refused when the mean correlation with the parent's maps is below 0.9999, or
    the mean of any map differs by more than 0.001.

    \b
    Example:
      saliency-export fp16 u2netp_mirror_v1.onnx --output u2netp_mirror_v1_fp16.onnx --frames clip.mp4
    """
    from saliency_exporter.variants.fp16 import fp16

    _print_variant(fp16(model, output, frames))


@main.command("int8")
@_add_model_and_output
@click.option(
    "--calibration",
    multiple=True,
    required=True,
    metavar="CLIPS|TABLE",
    help="Calibrate and measure on these clips: a clip, a folder, a pattern, a list or a table. May be given again.",
)
def int8_command(model: Path, output: Path, calibration: tuple[str, ...]) -> None:
    """Quantize MODEL to 8-bit integers (static, QDQ), calibrated on frames of your own clips.

    Every other frame calibrates, and the rest measure. The id gains _int8. The variant is refused when the mean
    correlation with the parent's maps is below 0.998, or the mean of any map differs by more than 0.02.

    \b
    Example:
      saliency-export int8 saliency_student_v2.onnx --output saliency_student_v2_int8.onnx --calibration clips.jsonl
    """
    from saliency_exporter.variants.int8 import int8

    _print_variant(int8(model, output, calibration, Lines()))


def _print_variant(manifest: Mapping[str, Any]) -> None:
    figures = manifest["figures"]
    click.echo(
        f"{manifest['model_id']} against its parent on {figures['frames']} frames: correlation "
        f"{figures['correlation']:.6f} (least {figures['least_correlation']:.6f}), "
        f"|Δmean| ≤ {figures['delta_mean']:.6f}, |Δvar| ≤ {figures['delta_var']:.6f}, MAE {figures['mae']:.6f}",
        err=True,
    )
    print_output(manifest)
