"""``saliency-batch report``: its options."""

from __future__ import annotations

from typing import Any

import click

from saliency_engine.cli.options import config_options, given_only

_OF_THE_RUN = (
    *("prefix", "root", "allow_remote", "remote_cache_gb", "path_column", "path_template", "path_regex"),
    *("path_suffix", "model_path"),
)


@click.command(short_help="Make a page about a table that was run.")
@click.argument("table")
@click.option("--html", default="", help="Page to write.  [default: TABLE.html]")
@click.option("--audit", default="", help="The run's audit.  [default: the one beside TABLE that names it]")
@click.option(
    "--clips", default=8, show_default=True, help="Draw this many clips, from the lowest mean to the highest."
)
@config_options(_OF_THE_RUN)
def report(table: str, html: str, audit: str, clips: int, **options: Any) -> None:
    """Write one HTML page about TABLE, the output of a run, and print its path.

    It shows statuses and reasons, distributions, clips under their saliency and, from the audit (--audit-json of
    `run`), settings, times, the slowest clips and provenance. The page is one file that loads nothing.

    \b
    Example:
      saliency-batch report out.parquet --html out.html
    """
    from saliency_engine.jobs.report_page import ReportJob, report_run  # noqa: PLC0415  heavy imports live here

    page = report_run(ReportJob(table=table, html=html, audit=audit, clips=clips, run_options=given_only(options)))
    click.echo(page)
