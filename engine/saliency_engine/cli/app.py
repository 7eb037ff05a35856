"""The command line: options to configs, errors to exit codes. Heavy imports live inside the commands."""

from __future__ import annotations

import errno
import io
import os
import sys
import traceback
from typing import Any

import click

from saliency_engine.cli import signals
from saliency_engine.cli.bench import bench
from saliency_engine.cli.models import models
from saliency_engine.cli.options import config_options, given_only
from saliency_engine.config import load_options, option_names, split_options
from saliency_engine.errors import ConfigError, SaliencyError
from saliency_engine.report.terminal import printable
from saliency_engine.storage.atomic import forget_buffered


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="saliency-batch")
def main_group() -> None:
    """Put saliency features on tables of video clips.

    Try it: saliency-batch run --input clips.jsonl --output out.jsonl --model frequency_tuned_v1
    """


@main_group.command(short_help="Read a table, compute its clips, write it with saliency.")
@click.option("--config", "config_file", default=None, help="Options from a TOML file; the command line wins.")
@config_options(option_names())
def run(config_file: str | None, **given: Any) -> None:
    """Read a table of clips, compute their saliency, and write the table with it.

    Formats go by suffix: .jsonl .ndjson (.gz .zst) .parquet .pq .arrow .feather; - is stdin or stdout.
    Run the same command again after a crash: finished clips are in the memo and are not computed twice.
    Exit status: 0 every row ok, 1 a row failed, 2 the command is wrong.

    Example:

      saliency-batch run --input clips.parquet --output out.parquet --model-path saliency_student_v2.onnx
    """
    options = load_options(config_file) if config_file else {}
    options.update(given_only(given))
    job, config = split_options(options)
    from saliency_engine.pipeline.worker import start_fork_server

    start_fork_server()  # its imports go on beside the next line's: a quarter of a second
    from saliency_engine.jobs.run import run_table

    sys.exit(1 if run_table(job, config)["summary"]["failed"] else 0)


@main_group.command(short_help="Print a table's rows for reading.")
@click.argument("table")
@click.option("--rows", default=20, show_default=True, help="Rows to print.")
@click.option("--path-column", default="src", show_default=True, help="Column with the clip's path.")
def show(table: str, rows: int, path_column: str) -> None:
    """Print path and saliency of a table's first rows.

    Example:

      saliency-batch show out.jsonl --rows 5
    """
    from saliency_engine.jobs.show import show_table

    show_table(table, rows, path_column)


_PREVIEW_OPTIONS = (
    *("input", "root", "path_column", "model", "model_path", "model_sha256", "require_verified", "allow_op"),
    *("model_size", "provider", "precision"),
    *("sampling", "max_frames", "frame_samples", "color", "temporal_aggregator", "ema_alpha"),
    *("default_width", "default_height", "yuv_pixel_format"),
)


@main_group.command(short_help="Draw clips beside their saliency.")
@click.option("--output", required=True, help="PNG file to write.")
@click.option("--clips", default=8, show_default=True, help="Draw this many of the table's clips, the first ones.")
@config_options(_PREVIEW_OPTIONS)
def preview(output: str, clips: int, **given: Any) -> None:
    """Draw a contact sheet: a table's first clips, each with a frame beside its aggregated saliency.

    Example:

      saliency-batch preview --input out.jsonl --output sheet.png --model frequency_tuned_v1
    """
    job, config = split_options({**given_only(given), "output": "-", "overwrite": True})
    from saliency_engine.jobs.preview import contact_sheet

    contact_sheet(job, config, output, clips)


@main_group.command(short_help="Try out what this installation can do.")
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
def doctor(as_json: bool) -> None:
    """Report versions, providers (each runs a made clip), clashing packages, memory, folders, known holes in FFmpeg.

    Exit status: 0 nothing is broken, 1 something is.

    Example:

      saliency-batch doctor
    """
    from saliency_engine.jobs.doctor import BROKEN, examine, print_findings

    findings = examine()
    print_findings(findings, as_json=as_json)
    sys.exit(any(finding.state == BROKEN for finding in findings))


main_group.add_command(bench)
main_group.add_command(models)


def main() -> None:
    """Entry point of ``saliency-batch``."""
    _prepare_standard_streams()
    signals.listen()
    try:
        main_group.main(standalone_mode=False)
        status: int | str | None = 0
    except BaseException as error:  # noqa: BLE001  signals and failures alike become an exit status
        status = _status(error)
    if sys.stdout is not None:
        try:
            sys.stdout.flush()
        except OSError as error:
            status = status or _status(error)
            forget_buffered(sys.stdout.buffer)
    sys.exit(status)


def _prepare_standard_streams() -> None:
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            # Closed: the output table would get the number, and with it whatever a library says on stderr.
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a locale may not have the letters; as stderr always does


def _status(error: BaseException) -> int | str | None:
    """Say on stderr what ended the command; returns its exit status."""
    if status := signals.exit_status():  # also where a library made an error of its own out of it
        click.echo("interrupted; finished clips are in the memo, run the same command to go on", err=True)
        return status
    if isinstance(error, SystemExit):
        return error.code
    if isinstance(error, click.ClickException):
        error.show()
        return 2
    if isinstance(error, SaliencyError | OSError | MemoryError):
        hint = " (ulimit -n raises the limit)" if getattr(error, "errno", 0) == errno.EMFILE else ""
        click.echo(f"{type(error).__name__}: {printable(error)}{hint}", err=True)
        if isinstance(error, ConfigError):
            click.echo("Try --help for the options.", err=True)
        return 2
    for line in "".join(traceback.format_exception(error)).splitlines():
        click.echo(printable(line), err=True)
    click.echo("this is a bug of saliency-batch, not of your table; finished clips are in the memo", err=True)
    return 70  # Python's own exit status would be 1, which scripts read as "a row failed"
