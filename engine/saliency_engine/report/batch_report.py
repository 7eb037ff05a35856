"""What came of a batch of tables: ``saliency-materializer-batch-v1``, the schema of the VMAFx tools, and for people."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from saliency_engine.report.provenance import run_provenance
from saliency_engine.report.terminal import printable
from saliency_engine.storage.atomic import write_json, write_together

_COUNTS = ("total", "ok", "skipped_existing", "failed")


def batch_report(manifest: str, tables: Sequence[dict[str, Any]], *, allow_row_failures: bool) -> dict[str, Any]:
    """The report on ``tables``, each with its id, paths, config, status and summary; all but the provenance.

    Its status is ``ok``, ``failed``, or ``row-failures`` where rows failed and may.
    """
    states = {table["status"] for table in tables}
    fails = "error" in states or ("row-failures" in states and not allow_row_failures)
    return {
        "schema": "saliency-materializer-batch-v1",
        "status": "failed" if fails else "row-failures" if "row-failures" in states else "ok",
        "manifest": manifest,
        "summary": {
            "tables": len(tables),
            "failed_tables": sum(table["status"] != "ok" for table in tables),
            **{name: sum(table["summary"][name] for table in tables) for name in _COUNTS},
        },
        "tables": list(tables),
    }


def write_reports(report: Mapping[str, Any], json_path: str, markdown_path: str, args: Mapping[str, Any]) -> None:
    """Write the report as JSON, with the provenance of a run with ``args``, and as Markdown; an empty path is no file.

    Reads the tables once more for their hashes, where JSON is wanted. Raises ``OutputError``.
    """
    if json_path:
        outputs = {table["id"]: table["output"] for table in report["tables"] if table["status"] != "error"}
        write_json(
            json_path, {**report, "run_provenance": run_provenance({"manifest": report["manifest"]}, outputs, args)}
        )
    if markdown_path:
        write_together({Path(markdown_path): _to_markdown(report).encode("utf-8", "backslashreplace")})


def print_batch_line(report: Mapping[str, Any]) -> None:
    """Print one line on stderr with the counts of all tables, for programs that look for it."""
    counts = report["summary"]
    failed = f" failed_tables={counts['failed_tables']}" if counts["failed_tables"] else ""
    line = (
        f"saliency-batch: tables={counts['tables']} total={counts['total']} ok={counts['ok']} "
        f"skipped={counts['skipped_existing']} failed={counts['failed']}{failed}"
    )
    print(printable(line), file=sys.stderr)


def _to_markdown(report: Mapping[str, Any]) -> str:
    lines = [
        "# Saliency Materializer Batch Report",
        "",
        f"Status: **{report['status']}**",
        "",
        "| Table | Status | Total | OK | Skipped | Failed | Output |",
        "| --- | --- | ---: | ---: | ---: | ---: | --- |",
    ]
    for table in report["tables"]:
        counts = " | ".join("-" if table["status"] == "error" else str(table["summary"][name]) for name in _COUNTS)
        lines.append(f"| {_cell(_text(table['id']))} | {table['status']} | {counts} | `{_cell(table['output'])}` |")
    errors = [f"- {_text(table['id'])}: {_text(table['error'])}" for table in report["tables"] if "error" in table]
    return "\n".join([*lines, *(["", *errors] if errors else [])]) + "\n"


def _text(text: str) -> str:
    """``text`` outside of code, in which ``<`` begins no tag."""
    return text.replace("<", "\\<")


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
