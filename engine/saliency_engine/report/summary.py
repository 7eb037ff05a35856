"""The closing summary of a run, on stderr."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from saliency_engine.pipeline.counts import Counts
from saliency_engine.report.cluster import describe_nodes
from saliency_engine.report.terminal import printable
from saliency_engine.tables.rejects import Rejects

_MOST_FAILURES = 5


def print_summary(audits: Sequence[dict[str, Any]], *, verbose: bool) -> None:
    """Print what people need of a run's first audit: rows, clips, failures, files, and the models of all ``audits``.

    ``verbose``: and where the time went.
    """
    audit = audits[0]
    rows, clips, seconds = audit["summary"], audit["clips"], max(audit["seconds"], 1e-9)
    lines = [
        ("model", f"{', '.join(_list_models(audits))} on {audit['machine']['provider']}"),
        *([("points", f"{len(audit['points'])}, each with columns of its own")] if "points" in audit else []),
        ("rows", f"{rows['total']}: {rows['ok']} ok, {rows['skipped_existing']} skipped, {rows['failed']} failed"),
        *_describe_kept(audit["kept"]),
        *_describe_failures(audit["failures"]),
        ("clips", f"{clips['computed']} computed, {clips['reused']} reused, {clips['failed']} failed"),
        *_describe_model_runs(clips),
        *_describe_signals(clips),
        (
            "time",
            f"{seconds:.1f} s, {clips['computed'] / seconds:.1f} clips/s, {clips['frames'] / seconds:.1f} frames/s",
        ),
        *(describe_nodes(audit["cluster"]) if "cluster" in audit else []),
        *_describe_files(audit),
        *((f"  {stage}", _describe_stage(busy)) for stage, busy in audit["stages"].items() if verbose),
    ]
    for name, value in lines:
        print(printable(f"{name:<12}{value}"), file=sys.stderr)


def _list_models(audits: Sequence[dict[str, Any]]) -> list[str]:
    points = [[point["model_id"] for point in audit.get("points", ())] or [audit["model"]["id"]] for audit in audits]
    return list(dict.fromkeys(itertools.chain.from_iterable(points)))


def print_outputs(audits: Sequence[dict[str, Any]]) -> None:
    """Print, below the summary of a sweep's first output, a line for each of the others."""
    for audit in audits:
        rows = audit["summary"]
        counts = f"{rows['ok']} ok, {rows['skipped_existing']} skipped, {rows['failed']} failed"
        print(
            printable(f"{'output':<12}{audit['output']} ({_describe_size(audit['output'])}): {counts}"), file=sys.stderr
        )


def print_last_line(audits: Sequence[dict[str, Any]]) -> None:
    """Print one line with the counts, for programs that look for it; it also tells what is easily overlooked.

    A sweep's outputs are counted, and so are the rows of all of them.
    """
    rows = {
        name: sum(audit["summary"][name] for audit in audits) for name in ("total", "ok", "skipped_existing", "failed")
    }
    outputs = f"outputs={len(audits)} " if len(audits) > 1 else ""
    counts = f"total={rows['total']} ok={rows['ok']} skipped={rows['skipped_existing']} failed={rows['failed']}"
    kept = max((audit["kept"] for audit in audits), key=lambda kept: int(kept["other_settings"]))
    others = f" other_settings={kept['other_settings']}" if kept["other_settings"] else ""
    remark = ""
    if kept["other_settings"] and not rows["ok"]:
        remark = (
            f": nothing is computed; {kept['other_settings']} rows keep numbers that other settings than those asked "
            f"for made ({kept['description']}); --overwrite computes them anew, --prefix NAME_ beside them"
        )
    print(printable(f"saliency-batch: {outputs}{counts}{others}{remark}"), file=sys.stderr)


def print_index_summary(counts: Counts, rejects: Rejects) -> None:
    """Print on stderr what came of an index: rows by outcome, the clips, the lines that are no rows."""
    rows = f"{counts.rows + rejects.count} rows: {counts.ok} ok, {counts.failed + rejects.count} failed"
    lines = f" ({rejects.count} lines that are no rows: {rejects.path}; {rejects.first})" if rejects.count else ""
    print(printable(f"{rows}{lines}; {counts.clips_computed + counts.clips_failed} clips probed"), file=sys.stderr)


def _describe_model_runs(clips: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """What --reuse has saved; nothing without it."""
    if "model_runs" in clips and clips["frames"]:
        runs, frames = clips["model_runs"], clips["frames"]
        yield "  model", f"run on {runs} of {frames} frames ({runs / frames:.0%})"


def _describe_signals(clips: dict[str, Any]) -> list[tuple[str, str]]:
    """Two lines on the clips whose numbers are in the table; none where there is no such clip."""
    transfers = [f"{count} {name.upper()}" for name, count in clips["transfer"].items() if count]
    depths = [f"{count} of {depth} bits" for depth, count in clips["bit_depth"].items() if depth.isdigit()]
    lines = [("  transfer", ", ".join(transfers)), ("  bit depth", ", ".join(depths))]
    return [(name, text) for name, text in lines if text]


def _describe_kept(kept: dict[str, Any]) -> Iterator[tuple[str, str]]:
    if kept["other_settings"]:
        yield "  kept", f"{kept['other_settings']} with numbers of other settings: {kept['description']}"
    if kept["untagged"]:
        yield "  kept", f"{kept['untagged']} of which a tag is missing: nobody knows whether their settings are these"


def _describe_failures(failures: list[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    for failure in failures[:_MOST_FAILURES]:
        like = ", and the like" if failure["reasons"] > 1 else ""
        yield "  failed", f"{failure['rows']} {failure['status']}: {failure['reason']}{like}"
        yield from (("", f"  {example['path'] or repr(example['clip'])}") for example in failure["examples"])
    if rest := failures[_MOST_FAILURES:]:
        yield "  failed", f"{sum(failure['rows'] for failure in rest)} for {len(rest)} other reasons (see the audit)"


def _describe_files(audit: dict[str, Any]) -> Iterator[tuple[str, str]]:
    output, memo = audit["output"], audit["config"]["memo"]
    if output:
        yield "output", "stdout" if output == "-" else f"{output} ({_describe_size(output)})"
    if audit["summary"]["rejected"]:
        yield "rejected", f"{audit['rejects']} ({audit['summary']['rejected']} lines that are no rows)"
        yield "", f"  {audit['first_reject']}"
    if audit["config"]["audit_json"]:
        yield "audit", audit["config"]["audit_json"]
    if memo != "off":
        yield "memo", f"{memo} ({_describe_size(memo)})"


def _describe_size(path: str) -> str:
    size = float(Path(path).stat().st_size)
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} GB"


def _describe_stage(stage: dict[str, Any]) -> str:
    return f"{stage['seconds']:.2f} s, {stage['share']:.0%} busy"
