"""``saliency-export``: builds the ONNX models that saliency-batch runs. Heavy imports live inside the commands."""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path
from typing import Any

import click

from saliency_engine.errors import ModelError, OutputError, SaliencyError


class _Commands(click.Group):
    """A group that turns errors raised on purpose into ``Type: message`` on stderr and exit code 2."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except SaliencyError as error:
            click.echo(f"{type(error).__name__}: {error}", err=True)
            ctx.exit(2)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="saliency-batch")
def main() -> None:
    """Build ONNX models for saliency-batch."""


@main.command("frequency-tuned")
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), required=True, help="ONNX file to write.")
def frequency_tuned_command(output: Path) -> None:
    """Write frequency_tuned_v1, the training-free model that saliency-batch has built in.

    The graph is frequency-tuned saliency (Achanta et al., CVPR 2009) at 320×320. The file's bytes are the same every
    time; its sha256 is printed. Needs the onnx package (pip install 'saliency-batch[export]').

    \b
    Example:
      saliency-export frequency-tuned --output frequency_tuned_v1.onnx
      saliency-batch run --input clips.jsonl --output out.jsonl --model-path frequency_tuned_v1.onnx
    """
    try:
        from saliency_exporter import frequency_tuned
    except ModuleNotFoundError as error:
        if error.name != "onnx":
            raise
        raise ModelError("building models needs the onnx package: pip install 'saliency-batch[export]'") from error
    content = frequency_tuned.build()
    _write_whole(output, content)
    click.echo(f"{hashlib.sha256(content).hexdigest()}  {output}")


def _write_whole(path: Path, content: bytes) -> None:
    """Write all of ``content`` or nothing: a reader never meets half a file. Raises ``OutputError``."""
    partial = path.with_name(path.name + ".partial")
    try:
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise OutputError(f"{path}: {error.strerror or error}") from error
