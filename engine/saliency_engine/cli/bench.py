"""``saliency-batch bench``: its options, and the checks that come before anything is measured."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from saliency_engine.cli.options import config_lists, config_options, given_only
from saliency_engine.config import RunConfig
from saliency_engine.errors import ConfigError

_SHARED = (
    "model",
    "model_path",
    "model_sha256",
    "require_verified",
    "allow_op",
    "model_size",
    "sampling",
    "max_frames",
    "frame_samples",
    "color",
    "hdr",
    "root",
    "path_column",
    "path_template",
    "path_regex",
    "path_suffix",
    "default_width",
    "default_height",
    "yuv_pixel_format",
)
_LISTS = {
    "provider": "Try this provider. May be given again.  [default: all]",
    "precision": "Try this precision. May be given again.  [default: all that a provider has]",
    "threads": "Try this many threads. May be given again.  [default: auto, half, and a quarter from 8 cores on]",
    "batch_size": "Try this many frames per model run. May be given again.  [default: 8; on a GPU 8 and 32]",
}


@click.command(short_help="Measure settings on this machine and recommend one.")
@click.argument("clips", nargs=-1)
@config_options(_SHARED)
@config_lists(_LISTS)
@click.option(
    "--rounds", type=click.IntRange(min=1), default=3, show_default=True, help="Time every setting this many times."
)
@click.option(
    "--reuse", is_flag=True, help="Also measure what --reuse of `run` saves and moves, and recommend a value."
)
@click.option(
    "--json", "json_file", default="", help="Write the results, with a description of the machine, to this JSON file."
)
@click.option("--chart", default="", help="Draw the clips per second to this PNG file; needs matplotlib.")
def bench(clips: tuple[str, ...], rounds: int, reuse: bool, json_file: str, chart: str, **given: Any) -> None:
    """Time settings of `run` on CLIPS (tables, or clips as `run` takes them) and recommend one.

    Every combination of provider, precision, threads and batch size runs the real engine in its own process. Its
    numbers are compared with those of cpu float32. A table of the results is printed on stdout, and as the last line
    the recommended command. At most 16 CLIPS are used; without any a few are made.

    \b
    Example:
      saliency-batch bench clips.jsonl --model-path saliency_student_v2.onnx \\
        --json bench.json --chart bench.png
    """
    lists = {name: given.pop(name) for name in _LISTS}
    options = given_only(given)
    _check(options, lists, chart)
    from saliency_engine.jobs.bench.run import run_bench  # noqa: PLC0415  heavy imports live inside the command
    from saliency_engine.jobs.bench.settings import Choices  # noqa: PLC0415

    choices = Choices(lists["provider"], lists["precision"], lists["threads"], lists["batch_size"], rounds, reuse)
    click.echo(run_bench(clips, options, choices, json_file, chart))


def _check(options: dict[str, Any], lists: dict[str, Sequence[Any]], chart: str) -> None:
    """Raise ``ConfigError`` for what would otherwise fail after minutes of measuring."""
    RunConfig(**options)
    for name, values in lists.items():
        for value in values:
            RunConfig(**options, **{name: value})
    if chart:
        if Path(chart).suffix.lower() != ".png":
            raise ConfigError(f"--chart {chart}: must end in .png")
        from saliency_engine.jobs.bench.chart import require_matplotlib  # noqa: PLC0415

        require_matplotlib()
