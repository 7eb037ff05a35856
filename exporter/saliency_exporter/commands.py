"""What the commands share: types of options, ``--frames``, the line on stdout."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

FILE = click.Path(dir_okay=False, path_type=Path)
FOLDER = click.Path(file_okay=False, path_type=Path)
SIZE = click.IntRange(min=1)
frames_option = click.option(
    "--frames",
    multiple=True,
    metavar="CLIPS|TABLE",
    help="Measure on these clips as well: a clip, a folder, a pattern, a list or a table. May be given again.",
)


def print_output(manifest: Mapping[str, Any]) -> None:
    """The written model's line on stdout: its sha256 and its path, as ``sha256sum`` prints them."""
    click.echo(f"{manifest['outputs']['onnx_sha256']}  {manifest['outputs']['onnx_path']}")
