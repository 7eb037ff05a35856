"""``saliency-batch batch``: its options."""

from __future__ import annotations

import dataclasses
import sys
from typing import Any

import click

from saliency_engine.cli.options import config_options, given_only
from saliency_engine.config import RunConfig
from saliency_engine.errors import ConfigError

_OPTIONS = (
    *("max_failures", "on", "ray_address", "actors", "gpus_per_actor", "cpus_per_actor"),
    *("progress", "verbose", "quiet"),
    *(option.name for option in dataclasses.fields(RunConfig)),
)


@click.command(short_help="Run the tables of a manifest, each clip once.")
@click.argument("manifest", required=False)
@click.option("--manifest", "manifest_option", default="", help="The manifest, in place of MANIFEST.")
@click.option("--report-json", default="", help="JSON file for the report on all tables; default: none.")
@click.option("--report-md", default="", help="Markdown file for the same in short; default: none.")
@click.option("--base-dir", default="", help="Where the manifest's relative paths start; default: its folder.")
@click.option("--fail-fast", is_flag=True, help="Stop after the first table with an error or a row that failed.")
@click.option("--allow-row-failures", is_flag=True, help="Exit with 0 though rows failed, if no table has an error.")
@click.option("--dry-run", is_flag=True, help="Check all tables, clips and options, and print the plan; write nothing.")
@config_options(_OPTIONS)
def batch(manifest: str | None, manifest_option: str, dry_run: bool, **given: Any) -> None:
    """Process the tables of MANIFEST, a JSON or TOML file: "defaults", options for all tables, and "tables", each with
    "id", "input", "output" and options of its own, by the names that `run` has for them.

    A clip that stands in several tables is computed once: all tables share one memo, by default the one in the folder
    of the first output, and tables with the same model and sampling share one engine. Options below win over those of
    the manifest, for every table.

    Exit status: 0 when every row is ok, 1 when a row failed or a table could not be processed, 2 when the manifest or
    the command is wrong, and nothing was run.

    \b
    Example:
      saliency-batch batch tables.toml --report-json report.json --report-md report.md
    """
    if bool(manifest) == bool(manifest_option):
        raise ConfigError("give one manifest: saliency-batch batch MANIFEST, or --manifest MANIFEST")
    settings = {name: given.pop(name) for name in _SETTINGS}
    from saliency_engine.pipeline.worker import fork_server  # noqa: PLC0415  heavy imports live here

    with fork_server(remote=bool(given["allow_remote"])):  # it imports its libraries while the next line imports ours
        from saliency_engine.jobs.batch import BatchJob, run_batch  # noqa: PLC0415
        from saliency_engine.jobs.plan import print_plan  # noqa: PLC0415

        job = BatchJob(manifest or manifest_option, given_only(given), **settings)
        if dry_run:
            sys.exit(0 if print_plan(job) else 1)
        report = run_batch(job)
    sys.exit(1 if report["status"] == "failed" else 0)


_SETTINGS = ("base_dir", "report_json", "report_md", "fail_fast", "allow_row_failures")
