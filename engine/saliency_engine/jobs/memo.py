"""Looking after memos: what is in one, whether it is whole, what can go, its numbers as a table, several as one."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from saliency_engine.config import MEMO_NAME, RunConfig
from saliency_engine.errors import ConfigError
from saliency_engine.extras import EXTRAS, MEASURED
from saliency_engine.numerics.aggregate import summarize
from saliency_engine.pipeline import memo_merge, memo_upkeep
from saliency_engine.pipeline.memo import NUMERICS_VERSION
from saliency_engine.pipeline.memo_upkeep import Context, Entry
from saliency_engine.report.terminal import printable
from saliency_engine.storage.overwrite import OF_SQLITE, Files
from saliency_engine.tables.formats import Format
from saliency_engine.tables.output import choose_format, open_output
from saliency_engine.tables.plain_rows import make_batches, schema_of
from saliency_engine.tables.sampling_tag import describe_sampling

_MEASURED = tuple(role for group in MEASURED for role in EXTRAS[group] if role != "frame_diff_mean")
"""What entries may have of ``--extra``; the rest follows from means and motion."""
_DAY = 24 * 60 * 60
_COLUMNS = {
    "src": "text",
    "file_bytes": "whole",
    "computed": "text",
    "model_id": "text",
    "model_sha256": "text",
    "provider": "text",
    "sampling": "text",
    "transfer": "text",
    "bit_depth": "whole",
    "frames": "whole",
    "saliency_mean": "number",
    "saliency_var": "number",
    "max_mean": "number",
    "max_var": "number",
    **dict.fromkeys(_MEASURED, "number"),
    "frame_means": "numbers",
    "motion": "numbers",
    "gram": "matrix",
}


def find_memo(name: str) -> Path:
    """The memo that ``name`` is the path of, or of whose folder."""
    path = Path(name)
    return path / MEMO_NAME if path.is_dir() else path


def show(memo: str) -> None:
    """Print what is in a memo on stdout: its size, clips, and entries by model and sampling."""
    path = find_memo(memo)
    groups, clips = memo_upkeep.list_groups(path)
    entries = sum(group.entries for group in groups)
    size = sum(file.stat().st_size for file in (path, Path(f"{path}-wal")) if file.exists())
    print(printable(f"{path}: {size / 1e6:.1f} MB, {entries} entries of {clips} clips"))
    grid = Grid("model", "provider", "sampling", "entries", "computed")
    for group in groups:
        context = group.context
        texts = _describe(context) if context else ("not noted", "", "")
        days = sorted({_format_time(at)[:10] for at in (group.first, group.last) if at is not None})
        grid.add_row(*(Text(printable(text)) for text in (*texts, str(group.entries), " to ".join(days))))
    if groups:
        Console(width=None if Console().is_terminal else 160).print(grid)


def check(memo: str) -> bool:
    """Print whether a memo is whole on stdout, and return it."""
    path = find_memo(memo)
    memo_upkeep.check_structure(path)
    damaged = [entry.statistics is None for entry in memo_upkeep.list_entries(path)]
    cure = "; saliency-batch memo prune drops them" if any(damaged) else ""
    print(printable(f"{path}: {len(damaged)} entries, {sum(damaged)} damaged{cure}"))
    return not any(damaged)


def prune(memo: str, models: Sequence[str], older_than: float | None, *, dry_run: bool) -> None:
    """Drop entries and print how many.

    They are those of ``models`` (ids, or beginnings of a sha256 of at least 8 digits) that were computed more than
    ``older_than`` days ago, where one of the two is given; else those that no run can use any more.
    """
    path, before = find_memo(memo), time.time() - (older_than or 0) * _DAY

    def is_wanted(entry: Entry) -> bool:
        if not models and older_than is None:
            return memo_upkeep.is_current(entry)
        is_named = not models or (entry.context is not None and any(_is_of(entry.context, model) for model in models))
        is_old = older_than is None or (entry.computed is not None and entry.computed < before)
        return not (is_named and is_old)

    if not models and older_than is None:
        memo_upkeep.check_that_clips_are_there(path)
    count = memo_upkeep.prune(path, is_wanted, dry_run=dry_run)
    print(printable(f"{path}: {count} entries {'would be ' if dry_run else ''}dropped"))


def export(memo: str, output: str) -> None:
    """Write a memo's entries as a table, a row each; see ``_COLUMNS``."""
    path, files = find_memo(memo), Files()
    files.reads("MEMO", path, *(f"{path}{suffix}" for suffix in OF_SQLITE))
    files.writes("--output", output)
    schema = schema_of(_COLUMNS)
    with open_output(output, choose_format(output, "auto", Format("clips")), schema) as table:
        for batch in make_batches(_list_rows(path), schema):
            table.write(batch)
        table.commit(table.rows)


def merge(memo: str, others: Sequence[str]) -> bool:
    """Put the entries of ``others`` into a memo and print how many; returns whether all were whole."""
    path, sources, files = find_memo(memo), [find_memo(other) for other in others], Files()
    files.writes("MEMO", path, OF_SQLITE, holds=".sqlite")
    for source in sources:
        files.reads("OTHER", source)
    added, damaged = memo_merge.merge(path, sources)
    print(printable(f"{path}: {added} entries are new; {damaged} are damaged and were left out"))
    return not damaged


def _list_rows(path: Path) -> Iterator[dict[str, Any]]:
    for entry, statistics in memo_upkeep.list_whole_entries(path):
        mean, var = summarize(statistics, "mean", 1.0)
        made: dict[str, Any] = {}
        if entry.context is not None:
            document, (_, provider, sampling) = entry.context.document, _describe(entry.context)
            made = {"model_id": entry.context.model_id, "model_sha256": document.get("model")}
            made |= {"provider": provider, "sampling": sampling}
        yield made | {
            "src": entry.path,
            "file_bytes": entry.size,
            "computed": None if entry.computed is None else _format_time(entry.computed),
            "transfer": statistics.signal.transfer if statistics.signal else None,
            "bit_depth": statistics.signal.depth if statistics.signal else None,
            "frames": len(statistics.means),
            "saliency_mean": mean,
            "saliency_var": var,
            "max_mean": statistics.maximum[0],
            "max_var": statistics.maximum[1],
            **{role: statistics.extras.values.get(role) for role in _MEASURED},
            "frame_means": statistics.means.tolist(),
            "motion": statistics.motion.tolist(),
            "gram": statistics.gram.tolist(),
        }


def _describe(context: Context) -> tuple[str, str, str]:
    """Model, provider and sampling for people; the sampling as rows have it, and what else it was."""
    document = context.document
    options = {field.name for field in dataclasses.fields(RunConfig)} & document.keys() - {"model", "provider"}
    try:
        config = RunConfig(**{name: document[name] for name in options})
        sampling = describe_sampling(config, document["width"], document["height"])
    except (ConfigError, KeyError, TypeError):  # what another version noted
        sampling = json.dumps(document, sort_keys=True)
    notes = [", short clips accepted" if document.get("accept_short") else ""]
    if document.get("numerics") != NUMERICS_VERSION:
        notes.append(", by another version: no longer used")
    return (
        f"{context.model_id} ({str(document.get('model'))[:8]})",
        str(document.get("provider")),
        sampling + "".join(notes),
    )


def _is_of(context: Context, model: str) -> bool:
    return context.model_id == model or (len(model) >= 8 and str(context.document.get("model")).startswith(model))


def _format_time(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
