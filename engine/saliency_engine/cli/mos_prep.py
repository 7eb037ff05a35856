"""``saliency-batch mos-prep``: its options."""

from __future__ import annotations

from typing import Any

import click

_NORMALIZATIONS = ("auto", "raw", "basename", "stem")
_RULES = ("auto", "explicit", "chug", "folds")


@click.command("mos-prep", short_help="Make a table to train MOS heads on from features and scores.")
@click.argument("tables", nargs=-1)
@click.option("--labels", multiple=True, help="Table with scores; may be given again.  [default: TABLES have them]")
@click.option("--output", "-o", required=True, help="Table to write.")
@click.option("--npz", default="", help="Also write features, scores and splits as .npz.")
@click.option("--vmaf-logs", multiple=True, help="Folder with a log of libvmaf for each clip: .json, .xml or .csv.")
@click.option("--prefix", default="", help="What names of saliency columns begin with.  [default: saliency_]")
@click.option("--feature-key-column", default="", help="Column of TABLES that names the clip.  [default: see docs]")
@click.option("--label-key-column", default="", help="The same for --labels.")
@click.option("--label-mos-column", default="", help="Column with the scores.  [default: mos, MOS, ...: see docs]")
@click.option("--label-scale", default="auto", show_default=True, help="LOW-HIGH; auto: what the whole column proves.")
@click.option("--label-no-header", is_flag=True, help="CSV of labels has no line of names: column_1 and so on.")
@click.option(
    "--key-normalize", default="auto", show_default=True, type=click.Choice(_NORMALIZATIONS), help="See docs."
)
@click.option("--feature-key-regex", default="", help="Use what this expression's first group matches in TABLES' keys.")
@click.option("--label-key-regex", default="", help="The same for --labels.")
@click.option("--min-match-rate", default=0.95, show_default=True, help="Refuse where fewer clips have a score.")
@click.option(
    "--content",
    "content_column",
    default="",
    help="Column that says what a clip shows.  [default: content, ...: see docs]",
)
@click.option("--split", default="auto", show_default=True, type=click.Choice(_RULES), help="Who trains and who tests.")
@click.option("--folds", default=10, show_default=True, help="For --split folds: one to test, one to validate.")
@click.option("--seed", default=0, show_default=True, help="For --split folds.")
@click.option("--allow-mixed", is_flag=True, help="Take several models or aggregators, with a column that tells which.")
def mos_prep(tables: tuple[str, ...], **given: Any) -> None:
    """Join TABLES, which hold features of clips, with scores, and write one row a clip, divided by content.

    Beside train.parquet, train.manifest.json says how it was made, and train.croissant.json describes it to others.

    \b
    Example:
      saliency-batch mos-prep out.parquet --labels scores.csv -o train.parquet
    """
    from saliency_engine.jobs.mos_prep.run import prepare  # noqa: PLC0415  heavy imports live inside the commands
    from saliency_engine.jobs.mos_prep.settings import Settings  # noqa: PLC0415

    prepare(Settings(tables=tables, **given))
