"""Several tables, one after another: those with the same settings share one engine, and all of them one memo."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import asdict, dataclass
from typing import Any

from saliency_engine.errors import MemoError, ModelError, SaliencyError, WorkerError
from saliency_engine.jobs.manifest import Entry, read_manifest
from saliency_engine.jobs.run import list_reads, list_writes, load, memo_path
from saliency_engine.jobs.table import Point, process_table
from saliency_engine.numerics.kernels import load_numba
from saliency_engine.pipeline.engine import Engine, engine_settings
from saliency_engine.report.batch_report import batch_report, print_batch_line, write_reports
from saliency_engine.report.notes import headline, note
from saliency_engine.storage.atomic import check_output
from saliency_engine.storage.overwrite import Files

_SUMMARY = ("total", "ok", "skipped_existing", "failed")


@dataclass(frozen=True)
class BatchJob:
    """What ``saliency-batch batch`` is given."""

    manifest: str
    options: Mapping[str, Any]
    """Of the command line: they win over the manifest's, for every table."""
    base_dir: str = ""
    report_json: str = ""
    report_md: str = ""
    fail_fast: bool = False
    allow_row_failures: bool = False


class SharedEngine:
    """The engine of the tables that come one after another: kept while they have the same settings."""

    engine: Engine

    def __init__(self, files: Files) -> None:
        self._files = files
        self._settings: dict[str, Any] | None = None
        self._opened = ExitStack()

    def start(self, entry: Entry) -> AbstractContextManager[Engine]:
        """The engine for a table, not to be closed by it. Raises as ``Engine`` does."""
        if self.serves(entry):
            self.engine.clock.restart()
        else:
            self.close()
            load_numba()
            self.engine = self._opened.enter_context(Engine(entry.config, load(entry.config, self._files)))
            self._settings = engine_settings(entry.config)
        return nullcontext(self.engine)

    def serves(self, entry: Entry) -> bool:
        """Whether the engine is there already that a table needs."""
        return engine_settings(entry.config) == self._settings

    def close(self) -> None:
        """Close it; the next table gets a new one."""
        self._settings = None
        self._opened.close()


def run_batch(job: BatchJob) -> dict[str, Any]:
    """Process the tables of a manifest; returns the report (see ``batch_report``).

    Raises ``SaliencyError`` before anything runs where the manifest is wrong, or a file would be written over another.
    A table that cannot be processed is no error but a table with the status ``error``.
    """
    entries, files = prepare(job)
    reports: dict[str, dict[str, Any]] = {}
    shared = SharedEngine(files)
    try:
        for entry in in_order_of_engines(entries):
            if not entry.job.quiet:
                headline(f"table {entry.id!r}, {len(reports) + 1} of {len(entries)}")
            reports[entry.id] = _run_one(entry, files, shared, job.manifest)
            left = len(entries) - len(reports)
            if job.fail_fast and left and reports[entry.id]["status"] != "ok":
                note(f"--fail-fast stops the batch after table {entry.id!r}: {left} of the tables have not been run")
                break
    finally:
        shared.close()
    tables = [reports[entry.id] for entry in entries if entry.id in reports]
    report = batch_report(job.manifest, tables, allow_row_failures=job.allow_row_failures)
    write_reports(report, job.report_json, job.report_md, asdict(job))
    print_batch_line(report)
    return report


def prepare(job: BatchJob) -> tuple[list[Entry], Files]:
    """The tables of a batch, and the files that it reads and writes; raises as ``run_batch`` does."""
    files = Files()
    files.reads("--manifest", job.manifest)
    entries = read_manifest(job.manifest, job.options, job.base_dir)
    memo = memo_path(entries[0].job, entries[0].config)
    entries = [_with_memo(entry, memo) for entry in entries]
    for entry in entries:
        list_reads(files, entry.job, entry.config, entry.whose)
    for entry in entries:
        list_writes(files, entry.job, entry.config, entry.whose)
    files.writes("--report-json", job.report_json, holds=".json")
    files.writes("--report-md", job.report_md, holds=".md")
    check_output(job.report_json)
    check_output(job.report_md)
    return entries, files


def in_order_of_engines(entries: Sequence[Entry]) -> Iterator[Entry]:
    """The tables, those that share an engine one after another, else in the manifest's order."""
    left = list(entries)
    while left:
        settings = engine_settings(left[0].config)
        yield from (entry for entry in left if engine_settings(entry.config) == settings)
        left = [entry for entry in left if engine_settings(entry.config) != settings]


def _with_memo(entry: Entry, memo: str) -> Entry:
    return dataclasses.replace(entry, config=dataclasses.replace(entry.config, memo=entry.config.memo or memo))


def _run_one(entry: Entry, files: Files, shared: SharedEngine, manifest: str) -> dict[str, Any]:
    """One table's part of the report."""
    job, config = entry.job, dataclasses.replace(entry.config, model=entry.config.model_name)
    report: dict[str, Any] = {
        "id": entry.id,
        "input": job.input,
        "output": job.output,
        "audit_json": job.audit_json or None,
    }
    names = {"schema": "saliency-materializer-audit-v1", "batch_manifest": manifest, "table_id": entry.id}
    try:
        (audit,) = process_table([Point(job, config)], files, lambda: shared.start(entry), names)
    except (SaliencyError, OSError) as error:
        if isinstance(error, ModelError | MemoError | WorkerError):
            shared.close()  # it may be unfit for the tables that follow
        message = f"{type(error).__name__}: {error}"
        note(f"table {entry.id!r} is not written: {message}")
        report["config"] = {**asdict(job), **asdict(config)}
        return {**report, "status": "error", "summary": dict.fromkeys(_SUMMARY, 0), "error": message}
    summary = {name: audit["summary"][name] for name in _SUMMARY}
    status = "row-failures" if summary["failed"] else "ok"
    return {**report, "config": audit["config"], "status": status, "summary": summary}
