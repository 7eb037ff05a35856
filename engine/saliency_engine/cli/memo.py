"""``saliency-batch memo``: what is in memos, and keeping them in order."""

from __future__ import annotations

import sys

import click


@click.group(short_help="Look into memos, check, prune, export and merge them.")
def memo() -> None:
    """Memos keep the numbers of finished clips. MEMO is the file, or the folder that saliency.memo.sqlite is in.

    A file that is no memo of this program is refused, and left as it is.

    \b
    Example:
      saliency-batch memo show out/
    """


@memo.command(short_help="Size, clips, and entries by model and sampling.")
@click.argument("memo", metavar="MEMO")
def show(memo: str) -> None:
    """Print MEMO's size, the number of its clips, and its entries by model, provider and sampling.

    \b
    Example:
      saliency-batch memo show out/
    """
    from saliency_engine.jobs import memo as jobs  # noqa: PLC0415  heavy imports live inside the commands

    jobs.show(memo)


@memo.command(short_help="Check every entry.")
@click.argument("memo", metavar="MEMO")
def check(memo: str) -> None:
    """Check the structure of MEMO and the checksum of each entry.

    Exit status: 0 when all is whole, 1 when entries are damaged, 2 when the file cannot be used.

    \b
    Example:
      saliency-batch memo check out/
    """
    from saliency_engine.jobs import memo as jobs  # noqa: PLC0415

    sys.exit(0 if jobs.check(memo) else 1)


@memo.command(short_help="Drop entries that are of no more use.")
@click.argument("memo", metavar="MEMO")
@click.option("--model", "models", multiple=True, help="Drop those of this model: its id, or the start of its sha256.")
@click.option("--older-than", type=click.FloatRange(min=0), default=None, help="Drop those computed so many days ago.")
@click.option("--dry-run", is_flag=True, help="Only print how many.")
def prune(memo: str, models: tuple[str, ...], older_than: float | None, dry_run: bool) -> None:
    """Drop entries of MEMO that no run can use: of clips that are gone or have changed, or made by other numerics.

    With --model or --older-than, those entries are dropped instead that fit all that is given. Damaged ones always go.
    Where not one clip is there, as when their disk is away, nothing is dropped.

    \b
    Example:
      saliency-batch memo prune out/ --dry-run
    """
    from saliency_engine.jobs import memo as jobs  # noqa: PLC0415

    jobs.prune(memo, models, older_than, dry_run=dry_run)


@memo.command(short_help="Write the entries as a table.")
@click.argument("memo", metavar="MEMO")
@click.option("--output", "-o", required=True, help="Table to write, with a suffix that `run` knows; -: JSON lines.")
def export(memo: str, output: str) -> None:
    """Write the entries of MEMO as a table: clip, model, sampling, and the numbers of its frames.

    \b
    Example:
      saliency-batch memo export out/ -o memo.parquet
    """
    from saliency_engine.jobs import memo as jobs  # noqa: PLC0415

    jobs.export(memo, output)


@memo.command(short_help="Put other memos' entries into one.")
@click.argument("memo", metavar="MEMO")
@click.argument("others", metavar="OTHER...", nargs=-1, required=True)
def merge(memo: str, others: tuple[str, ...]) -> None:
    """Put the entries of each OTHER into MEMO, which is made where there is none. The others stay as they are.

    Where two of them have other numbers for one clip, nothing is merged. Runs that write to MEMO meanwhile wait, a
    minute at most.

    Exit status: 0 when all entries are whole, 1 when damaged ones were left out, 2 when it cannot be done.

    \b
    Example:
      saliency-batch memo merge out/ a.jsonl.memo.sqlite b.jsonl.memo.sqlite
    """
    from saliency_engine.jobs import memo as jobs  # noqa: PLC0415

    sys.exit(0 if jobs.merge(memo, others) else 1)
