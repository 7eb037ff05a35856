"""The command line: options become configs, errors become exit codes.

Libraries that are slow to import are imported inside the commands, so that ``--help`` is instant.
"""

from __future__ import annotations

import atexit
import gc
import io
import os
import sys
from typing import Any

import click

from saliency_engine.cli import signals
from saliency_engine.cli.answer import answer
from saliency_engine.cli.batch import batch
from saliency_engine.cli.bench import bench
from saliency_engine.cli.compare import compare
from saliency_engine.cli.endings import lacks_memory, report_end
from saliency_engine.cli.index import index
from saliency_engine.cli.memo import memo
from saliency_engine.cli.models import models
from saliency_engine.cli.mos_prep import mos_prep
from saliency_engine.cli.options import SweepCommand, config_options, given_only, take_inputs
from saliency_engine.cli.report import report
from saliency_engine.config import OPTIONS, load_options
from saliency_engine.errors import ConfigError
from saliency_engine.jobs.points import expand
from saliency_engine.storage.atomic import forget_buffered


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="saliency-batch")
def main_group() -> None:
    """Put saliency features on tables of video clips.

    \b
    Example:
      saliency-batch run --input clips.jsonl --output out.jsonl \\
        --model saliency_open_v1
    """


@main_group.command(cls=SweepCommand, short_help="Write a table of clips with their saliency.")
@click.argument("inputs", nargs=-1)
@click.option("--config", "config_file", default=None, help="TOML file with options; those on the command line win.")
@config_options(tuple(OPTIONS), several=("model", "temporal_aggregator"))
def run(config_file: str | None, inputs: tuple[str, ...], **given: Any) -> None:
    """Read a table of clips, compute their saliency, and write the table with it.

    INPUTS is a table, a folder of Parquet parts, or clips: folders, patterns, files, text files of paths (.txt .lst).
    The suffix decides the format of a table: .jsonl .ndjson .csv .tsv (each also .gz .zst), .parquet .pq .arrow
    .feather; - is stdin or stdout.

    --model may be given again, and --temporal-aggregator take several: `--temporal-aggregator mean ema:0.3 max`. A clip
    is decoded once for all of them. With {model_id} and {aggregator} in --output each has a table of its own; else
    there is one, with columns for each.

    After a crash, run the same command again: finished clips are in the memo and are not computed twice.

    With --shard one of several machines computes its share into --memo; memo merge makes one memo of all, from which
    the command without --shard writes the table.

    Exit status: 0 when every row is ok, 1 when a row failed, 2 when the run could not be done.

    \b
    Example:
      saliency-batch run clips/ -o out.parquet --model-path saliency_student_v2.onnx
    """
    options = load_options(config_file) if config_file else {}
    options.update(given_only({**given, "input": take_inputs(inputs, given["input"] or "") or None}))
    job, points = expand(options)
    from saliency_engine.pipeline.worker import fork_server

    with fork_server(remote=points[0].allow_remote):  # it imports while the next line does: a quarter of a second less
        from saliency_engine.jobs.run import run_sweep

        audits = run_sweep(job, points, config_file or "")
    sys.exit(1 if any(audit["summary"]["failed"] for audit in audits) else 0)


@main_group.command(short_help="Print a table's first rows.")
@click.argument("inputs", nargs=-1, required=True)
@click.option("--rows", default=20, show_default=True, help="Print this many rows.")
@click.option("--path-column", default="", help="Column with the clip's path.  [default: src, else the first]")
def show(inputs: tuple[str, ...], rows: int, path_column: str) -> None:
    """Print path and saliency of the first rows of INPUTS, as `run` takes them; of an index all it tells.

    \b
    Example:
      saliency-batch show out.jsonl --rows 5
    """
    from saliency_engine.jobs.show import show_table

    show_table(inputs, rows, path_column)


_PREVIEW_OPTIONS = (
    "prefix",
    "root",
    "allow_remote",
    "remote_cache_gb",
    "path_column",
    "path_template",
    "path_regex",
    "path_suffix",
    "model",
    "model_path",
    "model_sha256",
    "require_verified",
    "allow_op",
    "model_size",
    "provider",
    "precision",
    "sampling",
    "max_frames",
    "frame_samples",
    "color",
    "hdr",
    "reuse",
    "temporal_aggregator",
    "ema_alpha",
    "default_width",
    "default_height",
    "yuv_pixel_format",
)


@main_group.command(short_help="Draw clips beside their saliency.")
@click.argument("inputs", nargs=-1)
@click.option("--input", "table", default="", help="What to read, in place of INPUTS.")
@click.option("--output", "-o", required=True, help="Picture to write: .png, .jpg, .jpeg or .pdf.")
@click.option("--clips", default=8, show_default=True, help="Draw this many clips.")
@click.option("--select", multiple=True, help="Which: see above; may be given again.  [default: the table's first]")
@config_options(_PREVIEW_OPTIONS)
def preview(
    inputs: tuple[str, ...], table: str, output: str, clips: int, select: tuple[str, ...], **given: Any
) -> None:
    """Draw clips of INPUTS, a table or clips as `run` takes them: a frame of each, and the same under its saliency.

    Model, aggregator, alpha and sampling are those of the row's tags, unless options say otherwise. A row that has
    failed is drawn as its reason.

    \b
    --select takes one of these:
      worst, best                the lowest, the highest MOS first; without MOS the saliency mean
      worst:COLUMN, best:COLUMN  the lowest, the highest number of that column first
      failed                     rows that failed
      COLUMN=VALUE               rows that hold this value
      N                          row N (the first is 1) and those after it

    \b
    Example:
      saliency-batch preview out.jsonl -o worst.pdf --select worst --select split=test
    """
    named = take_inputs(inputs, table)
    if not named:
        raise ConfigError("--input is missing: give a table or clips, or - for a pipe")
    from saliency_engine.jobs.preview import contact_sheet

    contact_sheet([named] if isinstance(named, str) else named, given_only(given), output, clips, select)


@main_group.command(short_help="Check what works in this installation.")
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
def doctor(as_json: bool) -> None:
    """Check what works in this installation.

    Every provider runs the built-in model on a small clip. The other checks are versions, packages that clash,
    security holes known in this FFmpeg, shared memory, folders, and the limit of open files.

    Exit status: 0 when nothing is broken, 1 when something is.

    \b
    Example:
      saliency-batch doctor
    """
    from saliency_engine.jobs.doctor import BROKEN, examine, print_findings

    findings = examine()
    print_findings(findings, as_json=as_json)
    sys.exit(any(finding.state == BROKEN for finding in findings))


main_group.add_command(batch)
main_group.add_command(answer)
main_group.add_command(bench)
main_group.add_command(compare)
main_group.add_command(index)
main_group.add_command(memo)
main_group.add_command(models)
main_group.add_command(report)
main_group.add_command(mos_prep)


def main() -> None:
    """Entry point of ``saliency-batch``."""
    _prepare_standard_streams()
    gc.set_threshold(20_000)  # at 700 a tenth of a short run went to looking for garbage in libraries as they loaded
    try:
        signals.listen()
        main_group.main(prog_name="saliency-batch", standalone_mode=False)
        status: int | str | None = 0
        half_loaded = False
    except BaseException as error:  # noqa: BLE001  signals and failures alike become an exit status
        status = report_end(error)
        half_loaded = status == 2 and lacks_memory(error)
    if sys.stdout is not None:
        try:
            sys.stdout.flush()
        except OSError as error:
            status = status or report_end(error)
            forget_buffered(sys.stdout.buffer)
    if half_loaded:
        # A library that found no memory while it was loaded may crash when it is unloaded: jemalloc does, in PyArrow.
        atexit._run_exitfuncs()
        os._exit(2)
    gc.freeze()  # else Python goes through all that was loaded, three times more, before it ends
    sys.exit(status)


def _prepare_standard_streams() -> None:
    """Open those of the three streams that are closed, and let stdout write any text."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            # It is closed. The next file opened would get its number, the output table perhaps, and with it whatever
            # a library writes to stderr.
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number, which is this one
    if sys.stderr is None:  # Python started with it closed. Libraries write to it, some while they are imported.
        sys.stderr = os.fdopen(2, "w", closefd=False)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # as stderr does: a locale may lack some letters
