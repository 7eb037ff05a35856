"""The commands for models with upstream's weights: made of a checkpoint or an ONNX file, and released."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from saliency_engine.report.terminal import printable
from saliency_exporter.commands import FILE, FOLDER, SIZE, frames_option, print_output


@click.command("u2netp")
@click.option("--upstream-dir", type=FOLDER, required=True, help="Checkout of xuebinqin/U-2-Net.")
@click.option(
    "--checkpoint",
    type=FILE,
    help="Weights.  [default: u2netp.pth in saved_models/u2netp/, ./ or model/ of the checkout]",
)
@click.option(
    "--module-path",
    type=FILE,
    help="Module that defines U2NETP.  [default: model/u2net.py or u2net.py of the checkout]",
)
@click.option("--output", type=FILE, required=True, help="ONNX file to write.")
@click.option("--manifest-out", type=FILE, help="Manifest to write.  [default: OUTPUT.manifest.json]")
@click.option("--batch", type=SIZE, default=1, show_default=True, help="Frames per call of the graph.")
@click.option("--height", type=SIZE, default=320, show_default=True, help="Input height in pixels.")
@click.option("--width", type=SIZE, default=320, show_default=True, help="Input width in pixels.")
@click.option("--opset", type=click.IntRange(13, 20), default=17, show_default=True, help="ONNX operator set.")
@click.option("--model-id", default="u2netp_mirror_v1", show_default=True, help="Id to write into the file.")
@click.option(
    "--upstream-repo",
    default="https://github.com/xuebinqin/U-2-Net",
    show_default=True,
    help="Repository to name in file and manifest.",
)
@click.option(
    "--upstream-commit",
    default="ac7e1c81",
    show_default=True,
    help="Commit to name there, which a git checkout must be at.",
)
@click.option(
    "--strict-load/--no-strict-load",
    default=True,
    show_default=True,
    help="Whether every weight must be in the checkpoint, and no other.",
)
@frames_option
def u2netp_command(**options: Any) -> None:
    """Export U-2-Net's small network from an audited checkout and a checkpoint, and prove the file.

    The checkout's code runs in a process of its own without network. The checkpoint is read as tensors only. The file
    is written only if its operators, names and shapes are those of the contract, and ONNX Runtime's maps differ from
    torch's by at most 1e-4.

    \b
    Example:
      saliency-export u2netp --upstream-dir U-2-Net --checkpoint u2netp.pth --output u2netp_mirror_v1.onnx
    """
    from saliency_exporter.u2netp.export import ExportOptions, export

    _print_mirror(*export(ExportOptions(**options)), against="torch")


@click.command("rewrap")
@click.argument("upstream", type=FILE)
@click.option("--output", type=FILE, required=True, help="ONNX file to write.")
@click.option("--upstream-output", default="", metavar="NAME", help="The map.  [default: the one all others flow into]")
@click.option("--batch", type=SIZE, default=1, show_default=True, help="Frames per call of the graph.")
@click.option("--height", type=SIZE, help="Input height in pixels.  [default: the file's own, else 320]")
@click.option("--width", type=SIZE, help="Input width in pixels.  [default: the file's own, else 320]")
@click.option("--layout", type=click.Choice(["nchw", "nhwc"]), default="nchw", show_default=True, help="Of the input.")
@click.option(
    "--range",
    type=click.Choice(["imagenet", "0-1", "0-255"]),
    help="What UPSTREAM takes its pictures in.  [default: 0-255 for uint8, else imagenet]",
)
@click.option("--channels", type=click.Choice(["rgb", "bgr"]), default="rgb", show_default=True, help="Their order.")
@click.option(
    "--activation",
    type=click.Choice(["none", "sigmoid"]),
    default="none",
    show_default=True,
    help="What UPSTREAM's map lacks: sigmoid where it gives logits.",
)
@click.option("--model-id", help="Id to write into the file.  [default: OUTPUT's name without .onnx]")
@click.option("--upstream-dir", type=FOLDER, help="Checkout with upstream's LICENSE; a release needs it.")
@click.option("--upstream-repo", help="Repository to name in file and manifest; a release needs it.")
@frames_option
def rewrap_command(**options: Any) -> None:
    """Make a model of an ONNX file as UPSTREAM ships it, and prove it against that file.

    The graph is cut down to one map, in opset 17 and with fixed shapes, from input to saliency_map. Weights stay as
    they are. What UPSTREAM takes or gives otherwise becomes nodes in front and behind. Of two classes the second is the
    object. The file is written only if its maps differ from upstream's by at most 1e-4.

    \b
    Example:
      saliency-export rewrap u2net.onnx --output u2net_mirror_v1.onnx
      saliency-batch run --input clips.jsonl --output out.jsonl --model-path u2net_mirror_v1.onnx
    """
    from saliency_exporter.rewrap.export import RewrapOptions, rewrap

    _print_mirror(*rewrap(RewrapOptions(**options)), against="upstream's file")


@click.command("release")
@click.option("--model", type=FILE, required=True, help="ONNX file that u2netp or rewrap wrote.")
@click.option("--manifest", type=FILE, required=True, help="Its manifest.")
@click.option("--checkout", type=FOLDER, required=True, help="The checkout that it was made from.")
@click.option("--output-dir", type=FOLDER, required=True, help="Folder to make; it must be empty or not exist.")
def release_command(model: Path, manifest: Path, checkout: Path, output_dir: Path) -> None:
    """Make a folder with all that a release needs: model, manifest, licence with attribution, model card, SHA256SUMS.

    \b
    Example:
      saliency-export release --model u2netp_mirror_v1.onnx --manifest u2netp_mirror_v1.onnx.manifest.json \\
        --checkout U-2-Net --output-dir release
    """
    from saliency_exporter.release.folder import make_release

    for name in make_release(model, manifest, checkout, output_dir):
        click.echo(output_dir / name)


def _print_mirror(manifest: Mapping[str, Any], remarks: Sequence[str], *, against: str) -> None:
    for remark in remarks:
        click.echo(f"note: {printable(remark)}", err=True)
    parity = manifest["parity"]
    click.echo(
        f"compared with {against} on {parity['frames']} frames: the largest difference is "
        f"{parity['max_abs_difference']:.1e}",
        err=True,
    )
    print_output(manifest)
