"""``saliency-batch compare``: its options."""

from __future__ import annotations

from typing import Any

import click

from saliency_engine.cli.options import config_options, given_only
from saliency_engine.errors import ConfigError

_WHERE_CLIPS_ARE = ("root", "path_column", "path_template", "path_regex", "path_suffix")


@click.command(short_help="Compare tables with saliency, also against scores.")
@click.argument("tables", nargs=-1)
@click.option("--key", default="", help="Column that names the clip.  [default: the first of key, src and the like]")
@click.option(
    "--key-normalize",
    type=click.Choice(("auto", "raw", "basename", "stem")),
    default="auto",
    help="How keys are made alike; auto: basename where the column is one of paths.  [default: auto]",
)
@click.option("--labels", multiple=True, help="Table with scores, if they are not in TABLES. May be given again.")
@click.option("--label-key", default="", help="Column of --labels that names the clip.  [default: as for --key]")
@click.option("--target", default="", help="Column with the scores.  [default: mos with --labels, else none]")
@click.option("--given", multiple=True, help="Features for partial correlations, such as 'vif_*'.  [default: VMAF's]")
@click.option("--content", default="", help="Column with the content of a clip.  [default: content, or each its own]")
@click.option("--json", "json_path", default="", help="JSON file to write.")
@click.option("--html", default="", help="Page to write: one file that loads nothing.")
@click.option("--clips", default=6, show_default=True, help="Draw this many clips on the page: those that differ most.")
@config_options(_WHERE_CLIPS_ARE)
def compare(tables: tuple[str, ...], given: tuple[str, ...], json_path: str, **options: Any) -> None:
    """Compare the saliency columns of TABLES, clip by clip.

    Each model, aggregator, alpha and sampling is a side of its own, and so is each prefix, whether they stand in one
    table or in several. Prints coverage, statuses that differ, Pearson, Spearman and differences of every two sides.

    With scores (--target, --labels): PLCC and RMSE after a four-parameter logistic, SROCC and KRCC of every signal,
    with 95% intervals that resample contents, and the partial correlation given VMAF's features.

    \b
    Example:
      saliency-batch compare u2netp.parquet student.parquet --key key \\
        --labels scores.csv --target mos --html compare.html
    """
    if not tables:
        raise ConfigError("compare needs a table: name one, or several")
    run_options = given_only({name: options.pop(name) for name in _WHERE_CLIPS_ARE})
    from saliency_engine.jobs.compare.run import CompareJob, compare_tables  # noqa: PLC0415

    job = CompareJob(tables=tables, given=given, json=json_path, run_options=run_options, **options)
    compare_tables(job)
