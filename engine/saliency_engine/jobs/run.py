"""One table from input to output: read, compute, join, write, audit."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from saliency_engine.config import RunConfig, TableJob
from saliency_engine.models.load import load_model
from saliency_engine.pipeline.engine import Engine
from saliency_engine.report import provenance
from saliency_engine.report.console import ProgressLine, print_summary, warn_of
from saliency_engine.tables.input import Table, open_table
from saliency_engine.tables.join import Joiner
from saliency_engine.tables.output import Output, open_output
from saliency_engine.tables.rejects import Rejects


def run_table(job: TableJob, config: RunConfig) -> dict[str, Any]:
    """Process one table; returns the audit (see ``provenance.audit``).

    It is written to ``job.audit_json`` if given, with the run's provenance. The output appears whole or not at all, and
    with it the file of lines that are no rows. Raises ``SaliencyError``; failing clips are rows, not errors.
    """
    model = load_model(config)
    warn_of(model)
    config = dataclasses.replace(config, memo=_memo_path(job, config))
    rejects = Rejects(job)
    with open_table(job, config, rejects=rejects) as table:
        joiner = Joiner(config, model.model_id, table.schema)
        with (
            open_output(job.output, table.output_format, joiner.schema) as output,
            rejects.opened(),
            Engine(config, model) as engine,
        ):
            _process(table, joiner, output, engine, job)
            audit = provenance.audit(job, config, engine, rejects.count)
    if job.audit_json:
        # Only where it is wanted: hashing input and output took a quarter of the time of rows that need nothing.
        audit["run_provenance"] = provenance.provenance_of(job, config, model, audit["rejects"])
        provenance.write_json(job.audit_json, audit)
    if not job.quiet:
        print_summary(audit)
    return audit


def _process(table: Table, joiner: Joiner, output: Output, engine: Engine, job: TableJob) -> None:
    with ProgressLine(engine, quiet=job.quiet) as progress:
        for batch, results in engine.results(table, lambda: progress.update(table)):
            with engine.clock("join"):
                payload = joiner.join(batch, results)
            with engine.clock("write"):
                output.write(payload)
    with engine.clock("write"):
        table.rejects.commit()
        output.commit(table.rows() - table.rejects.count)


def _memo_path(job: TableJob, config: RunConfig) -> str:
    """The memo in force: beside the output unless told otherwise."""
    if config.memo:
        return config.memo
    return "off" if job.output == "-" else str(Path(f"{job.output}.memo.sqlite"))
