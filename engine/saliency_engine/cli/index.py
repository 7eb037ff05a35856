"""``saliency-batch index``: its options."""

from __future__ import annotations

import sys
from typing import Any

import click

from saliency_engine.cli.options import config_options, given_only, take_inputs
from saliency_engine.config import split_options

_OPTIONS = (
    "input",
    "output",
    "output_format",
    "no_header",
    "rejects",
    "quiet",
    "path_column",
    "path_template",
    "path_regex",
    "path_suffix",
    "width_column",
    "height_column",
    "pix_fmt_column",
    "root",
    "allow_remote",
    "remote_cache_gb",
    "confine",
    "default_width",
    "default_height",
    "yuv_pixel_format",
    "status_column",
    "error_column",
    "color",
    "accept_short",
    "max_pixels",
    "clip_timeout",
    "decode_workers",
)


@click.command(short_help="Write a table of clips with size, frames, codec and the like.")
@click.argument("inputs", nargs=-1)
@config_options(_OPTIONS)
@click.option("--count-frames", is_flag=True, help="Count the frames of every clip: reads all files to their ends.")
def index(inputs: tuple[str, ...], count_frames: bool, **given: Any) -> None:
    """Write the table of INPUTS, which `run` takes too, with what each clip is.

    Every row gains width, height, frames (and whether the container states them or they were counted), frame_rate,
    duration, codec, pix_fmt, bit_depth, transfer (sdr, pq or hlg), rotation and file_bytes. A clip of which not one
    frame can be decoded has a status and a reason instead, as in `run`, for which the table is a good input.

    Exit status: 0 when every row is ok, 1 when a row failed, 2 when the command could not be done.

    \b
    Example:
      saliency-batch index clips/ -o clips.parquet
    """
    options = given_only({**given, "input": take_inputs(inputs, given["input"] or "") or None})
    job, config = split_options(options)
    from saliency_engine.pipeline.worker import fork_server  # noqa: PLC0415  heavy imports live here

    with fork_server(remote=config.allow_remote):  # it imports its libraries while the next line imports ours
        from saliency_engine.jobs.index import index_table  # noqa: PLC0415

        failed = index_table(job, config, count_frames=count_frames)
    sys.exit(1 if failed else 0)
