"""One table from input to output: read, compute, join, write, audit."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from saliency_engine.config import MEMO_NAME, RunConfig, TableJob
from saliency_engine.models.load import Model, load_model
from saliency_engine.pipeline.engine import Engine
from saliency_engine.report.audit import RunsOn, audit_of, provenance_of
from saliency_engine.report.console import ProgressLine, note, print_summary, warn_of, warn_of_hdr, warn_of_options
from saliency_engine.storage.atomic import check_output, write_json
from saliency_engine.storage.locate import Locator
from saliency_engine.storage.overwrite import OF_SQLITE, Files
from saliency_engine.tables.columns import columns_of
from saliency_engine.tables.input import Table, open_table
from saliency_engine.tables.join import Joiner, OutputColumns
from saliency_engine.tables.output import Output, choose_format, needs_batches, open_output
from saliency_engine.tables.rejects import Rejects


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
    with _open_input(job, config, rejects) as table:
        files.reads("--input", *table.parts)
        columns = OutputColumns(config, table.schema)
        output_format = choose_format(job.output, job.output_format, table.format)
        check_output(job.audit_json)
        with (
            open_output(job.output, output_format, columns.schema) as output,
            rejects.opened(),
            Engine(config, model, Locator(config, files, note)) as engine,
        ):
            session = engine.session
            runs_on = RunsOn(model, session.provider, session.remark, engine.threads, engine.decode_workers)
            joiner = Joiner(columns, engine.tags)
            with ProgressLine(runs_on, engine.counts, quiet=job.quiet) as progress:
                _process(table, joiner, output, engine, lambda: progress.update(table, rejects.count))
            with engine.clock("write"):
                rejects.commit()
                output.commit(table.count_rows() - rejects.count)
            audit = audit_of(job, config, runs_on, counts=engine.counts, clock=engine.clock, rejected=rejects.count)
    if job.audit_json:
        # Only where it is wanted: hashing input and output took a quarter of the time of rows that need nothing.
        audit["run_provenance"] = provenance_of(job, config, model, audit["rejects"])
        write_json(job.audit_json, audit)
    warn_of_hdr(config, engine.counts)
    if not job.quiet:
        print_summary(audit)
    return audit


def _load_model(config: RunConfig, files: Files) -> Model:
    model = load_model(config)
    files.reads("--model", *model.files)
    warn_of(model)
    warn_of_options(config)
    return model


def _open_input(job: TableJob, config: RunConfig, rejects: Rejects) -> AbstractContextManager[Table]:
    return open_table(
        job.inputs,
        columns_of(config),
        root=config.root,
        output=job.output,
        lines_as_arrow=lambda format: needs_batches(format, job.output, job.output_format),
        header=not job.no_header,
        reject=rejects.add if job.rejects_path else None,
    )


def _process(table: Table, joiner: Joiner, output: Output, engine: Engine, tick: Callable[[], None]) -> None:
    for batch, results in engine.results(table, tick):
        with engine.clock("join"):
            payload = joiner.join(batch, results)
        with engine.clock("write"):
            output.write(payload)


def _list_files(job: TableJob, config: RunConfig, config_file: str) -> Files:
    """The files of a run; raises ``ConfigError`` where one would be written over another."""
    files = Files()
    files.reads("--config", config_file)
    files.reads("--input", *job.inputs)
    files.reads("--model-path", config.model_path)
    files.writes("--output", job.output, may_replace="--input")
    files.writes("--audit-json", job.audit_json)
    files.writes("--rejects", job.rejects_path)
    if (memo := _memo_path(job, config)) != "off":
        files.writes("--memo", memo, OF_SQLITE)
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
