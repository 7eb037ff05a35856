"""One table from input to output: read, compute, join, write, audit."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from saliency_engine.config import MEMO_NAME, RunConfig, TableJob
from saliency_engine.jobs.job_input import open_input
from saliency_engine.jobs.target import Target
from saliency_engine.models.load import Model, load_model
from saliency_engine.pipeline.counts import Counts
from saliency_engine.pipeline.engine import Engine
from saliency_engine.report.audit import RunsOn, provenance_of
from saliency_engine.report.missing import hint_at_paths
from saliency_engine.report.notes import note, warn_of, warn_of_hdr, warn_of_no_rows, warn_of_options
from saliency_engine.report.progress import ProgressDisplay
from saliency_engine.report.summary import print_last_line, print_summary
from saliency_engine.storage.atomic import check_output, write_json
from saliency_engine.storage.locate import Locator
from saliency_engine.storage.overwrite import OF_SQLITE, Files
from saliency_engine.tables.columns import columns_of
from saliency_engine.tables.input import Table
from saliency_engine.tables.join import OutputColumns
from saliency_engine.tables.output import choose_format, open_output
from saliency_engine.tables.rejects import Rejects


def run_table(job: TableJob, config: RunConfig, config_file: str = "") -> dict[str, Any]:
    """Process one table; returns the audit (see ``audit_of``). ``config_file`` is where options were read from.

    The audit is written to ``job.audit_json`` where that is given, with the run's provenance. The output appears whole
    or not at all, and so does the file of lines that are no rows. Raises ``SaliencyError``; a clip that fails is no
    error but a row with its status.
    """
    files = Files()
    files.reads("--config", config_file)
    config = dataclasses.replace(config, memo=memo_path(job, config))
    list_reads(files, job, config)
    list_writes(files, job, config)
    model = load(config, files)
    config = dataclasses.replace(config, model=config.model_name)
    return process_table(job, config, files, lambda: Engine(config, model))


def load(config: RunConfig, files: Files) -> Model:
    """The model that ``config`` names, with warnings where there is something to be warned of."""
    model = load_model(config)
    files.reads("--model", *model.files)
    warn_of(model)
    return model


def process_table(
    job: TableJob,
    config: RunConfig,
    files: Files,
    start: Callable[[], AbstractContextManager[Engine]],
    names: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """``run_table`` with the engine that ``start`` gives when input and output are sound.

    ``files`` has what the table reads and writes. ``names`` are put into the audit before all else.
    """
    warn_of_options(config)
    rejects = Rejects(job.rejects_path)
    with open_input(job, columns_of(config), config.root, rejects.add) as table:
        files.reads("--input", *table.parts)
        columns = OutputColumns(config, table.schema)
        output_format = choose_format(job.output, job.output_format, table.format)
        check_output(job.audit_json)
        with (
            open_output(job.output, output_format, columns.schema) as output,
            rejects.opened(),
            start() as engine,
        ):
            task = engine.new_task(config, Locator(config, files, note))
            target = Target(job, config, task, columns, output)
            audit = _process_rows(target, engine, table, rejects)
    audit |= names or {}
    _write_audit(job, config, engine.model, audit)
    _print_end(job, config, task.counts, audit)
    return audit


def _process_rows(target: Target, engine: Engine, table: Table, rejects: Rejects) -> dict[str, Any]:
    """Compute the rows of ``table``, write and commit them; gives the audit."""
    job, task, runs_on = target.job, target.task, _runs_on(engine)
    with ProgressDisplay(runs_on, task.counts, "off" if job.quiet else job.progress) as progress:
        work = ((task, batch) for batch in target.kept.watch(table))
        for _, batch, results in engine.run_tasks(work, lambda: progress.update(table, rejects.count)):
            target.write(batch, results, engine.clock)
            target.failures.check(job.max_failures, table.rows_total, rejects.count)
    target.failures.check(job.max_failures, table.count_rows(), rejects.count)
    with engine.clock("write"):
        rejects.commit()
        target.output.commit(table.count_rows() - rejects.count)
    return target.audit(runs_on, engine.clock, rejects)


def _runs_on(engine: Engine) -> RunsOn:
    session = engine.session
    return RunsOn(engine.model, session.provider, session.remark, engine.threads, engine.decode_workers)


def _write_audit(job: TableJob, config: RunConfig, model: Model, audit: dict[str, Any]) -> None:
    if job.audit_json:
        # Only where it is wanted: hashing input and output took a quarter of the time of rows that need nothing.
        audit["run_provenance"] = provenance_of(job, config, model, audit["rejects"])
        write_json(job.audit_json, audit)


def _print_end(job: TableJob, config: RunConfig, counts: Counts, audit: dict[str, Any]) -> None:
    warn_of_hdr(config, counts)
    warn_of_no_rows(job, audit["summary"]["total"])
    if not job.quiet:
        print_summary(audit, verbose=job.verbose)
        if hint := hint_at_paths(audit):
            note(hint)
    if not job.quiet or audit["summary"]["failed"] or audit["kept"]["other_settings"]:
        print_last_line(audit)


def list_reads(files: Files, job: TableJob, config: RunConfig, whose: str = "") -> None:
    """Note the files that a table reads. ``whose`` follows each option in messages, as in ``--input of table 'b'``."""
    files.reads(f"--input{whose}", *job.inputs)
    files.reads(f"--model-path{whose}", config.model_path)


def list_writes(files: Files, job: TableJob, config: RunConfig, whose: str = "") -> None:
    """Note the files that a table writes; raises ``ConfigError`` where one would be written over another."""
    files.writes(f"--output{whose}", job.output, may_replace=f"--input{whose}")
    files.writes(f"--audit-json{whose}", job.audit_json, holds=".json")
    files.writes(f"--rejects{whose}", job.rejects_path)
    if config.memo != "off":
        files.writes("--memo", config.memo, OF_SQLITE, holds=".sqlite")


def memo_path(job: TableJob, config: RunConfig) -> str:
    """The memo in force: the file that ``--memo`` names, else the one of the output's folder; a pipe has none.

    Where an output has one of its own, as earlier versions made, that goes on being used.
    """
    if config.memo:
        return config.memo
    if job.output == "-":
        return "off"
    own = Path(f"{job.output}.memo.sqlite")
    return str(own if own.is_file() else Path(job.output).parent / MEMO_NAME)
