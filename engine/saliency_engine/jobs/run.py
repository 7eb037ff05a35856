"""One table from input to output: read, compute, join, write, audit."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from saliency_engine.config import MEMO_NAME, RunConfig, TableJob
from saliency_engine.jobs.job_input import open_input
from saliency_engine.models.load import Model, load_model
from saliency_engine.pipeline.clock import Clock
from saliency_engine.pipeline.counts import Counts
from saliency_engine.pipeline.engine import Engine
from saliency_engine.report.audit import RunsOn, audit_of, provenance_of
from saliency_engine.report.failures import Failures
from saliency_engine.report.missing import hint_at_paths
from saliency_engine.report.notes import note, warn_of, warn_of_hdr, warn_of_no_rows, warn_of_options
from saliency_engine.report.progress import ProgressDisplay
from saliency_engine.report.summary import print_last_line, print_summary
from saliency_engine.storage.atomic import check_output, write_json
from saliency_engine.storage.locate import Locator
from saliency_engine.storage.overwrite import OF_SQLITE, Files
from saliency_engine.tables.columns import columns_of
from saliency_engine.tables.join import Joiner, OutputColumns
from saliency_engine.tables.kept_rows import KeptRows
from saliency_engine.tables.output import Output, choose_format, open_output
from saliency_engine.tables.rejects import Rejects
from saliency_engine.types import ClipResult, RowBatch


def run_table(job: TableJob, config: RunConfig, config_file: str = "") -> dict[str, Any]:
    """Process one table; returns the audit (see ``audit_of``). ``config_file`` is where options were read from.

    The audit is written to ``job.audit_json`` where that is given, with the run's provenance. The output appears whole
    or not at all, and so does the file of lines that are no rows. Raises ``SaliencyError``; a clip that fails is no
    error but a row with its status.
    """
    files = _list_files(job, config, config_file)
    model = _load_model(config, files)
    config = dataclasses.replace(config, model=config.model_name, memo=_memo_path(job, config))
    rejects = Rejects(job.rejects_path)
    with open_input(job, columns_of(config), config.root, rejects) as table:
        files.reads("--input", *table.parts)
        columns = OutputColumns(config, table.schema)
        output_format = choose_format(job.output, job.output_format, table.format)
        check_output(job.audit_json)
        with (
            open_output(job.output, output_format, columns.schema) as output,
            rejects.opened(),
            Engine(config, model, Locator(config, files, note)) as engine,
        ):
            joiner, kept, failures = Joiner(columns, engine.tags), KeptRows(engine.tags, config), Failures()
            runs_on = _runs_on(engine)
            with ProgressDisplay(runs_on, engine.counts, "off" if job.quiet else job.progress) as progress:
                rows = engine.results(kept.watch(table), lambda: progress.update(table, rejects.count))
                for batch, results in rows:
                    kept.check(results)
                    failures.add(batch, results)
                    failures.check(job.max_failures, table.rows_total, rejects.count)
                    _write(joiner, output, engine.clock, batch, results)
            failures.check(job.max_failures, table.count_rows(), rejects.count)
            with engine.clock("write"):
                rejects.commit()
                output.commit(table.count_rows() - rejects.count)
            audit = audit_of(job, config, runs_on, counts=engine.counts, clock=engine.clock, rejected=rejects.count)
            audit |= {"kept": kept.as_json(), "failures": failures.as_json(), "first_reject": rejects.first or None}
    _write_audit(job, config, model, audit)
    _print_end(job, config, engine.counts, audit)
    return audit


def _load_model(config: RunConfig, files: Files) -> Model:
    model = load_model(config)
    files.reads("--model", *model.files)
    warn_of(model)
    warn_of_options(config)
    return model


def _runs_on(engine: Engine) -> RunsOn:
    session = engine.session
    return RunsOn(engine.model, session.provider, session.remark, engine.threads, engine.decode_workers)


def _write(joiner: Joiner, output: Output, clock: Clock, batch: RowBatch[Any], results: list[ClipResult]) -> None:
    with clock("join"):
        payload = joiner.join(batch, results)
    with clock("write"):
        output.write(payload)


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


def _list_files(job: TableJob, config: RunConfig, config_file: str) -> Files:
    """The files of a run; raises ``ConfigError`` where one would be written over another."""
    files = Files()
    files.reads("--config", config_file)
    files.reads("--input", *job.inputs)
    files.reads("--model-path", config.model_path)
    files.writes("--output", job.output, may_replace="--input")
    files.writes("--audit-json", job.audit_json, holds=".json")
    files.writes("--rejects", job.rejects_path)
    if (memo := _memo_path(job, config)) != "off":
        files.writes("--memo", memo, OF_SQLITE, holds=".sqlite")
    return files


def _memo_path(job: TableJob, config: RunConfig) -> str:
    """The memo in force: the file that ``--memo`` names, else the one of the output's folder; a pipe has none.

    Where an output has one of its own, as earlier versions made, that goes on being used.
    """
    if config.memo:
        return config.memo
    if job.output == "-":
        return "off"
    own = Path(f"{job.output}.memo.sqlite")
    return str(own if own.is_file() else Path(job.output).parent / MEMO_NAME)
