"""``saliency-batch answer``: its options."""

from __future__ import annotations

from typing import Any

import click

_REGRESSORS = ("ridge", "svr", "boosting")


@click.command(short_help="Say whether saliency helps to predict scores.")
@click.argument("tables", nargs=-1)
@click.option("--target", default="mos", show_default=True, help="Column with the scores.")
@click.option("--base", required=True, help="Columns to predict them from: names and patterns, with commas.")
@click.option("--add", multiple=True, required=True, help="Columns to add to these. Given again, another question.")
@click.option("--content", default="", help="Column that says what a clip shows.  [default: content, else the key]")
@click.option(
    "--regressor",
    multiple=True,
    type=click.Choice(_REGRESSORS),
    default=_REGRESSORS,
    help="May be given again.  [default: all]",
)
@click.option("--folds", default=5, show_default=True, help="Test on one of so many parts of the contents at a time.")
@click.option("--repeats", default=5, show_default=True, help="Divide the contents so many times.")
@click.option(
    "--resamples", default=1000, show_default=True, help="Draw the contents anew so many times, for intervals."
)
@click.option("--seed", default=0, show_default=True, help="Of folds and resamples.")
@click.option("--json", "json", default="", help="JSON file to write.")
@click.option("--html", default="", help="Page to write: one file that loads nothing.")
def answer(tables: tuple[str, ...], **given: Any) -> None:
    """Predict the scores in TABLES without and with more columns, and say whether these are shown to help.

    Each table, each model and aggregator in it, and each --add is a question of its own; p is adjusted for their
    number. No content is in both what trains and what tests.

    \b
    Example:
      saliency-batch answer train.parquet --base 'adm2,vif_*,motion2' \\
        --add 'saliency_*' --html answer.html
    """
    from saliency_engine.jobs.answer.run import answer_tables  # noqa: PLC0415  heavy imports live inside the commands
    from saliency_engine.jobs.answer.settings import Settings  # noqa: PLC0415

    answer_tables(Settings(tables=tables, **given))
