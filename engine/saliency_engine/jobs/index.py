"""One table of clips with what probing tells of each."""

from __future__ import annotations

from saliency_engine.config import RunConfig
from saliency_engine.jobs.job_input import open_input
from saliency_engine.pipeline.prober import Prober
from saliency_engine.report.notes import note, warn_of_no_rows
from saliency_engine.report.progress import ProgressDisplay
from saliency_engine.report.summary import print_index_summary
from saliency_engine.storage.locate import Locator
from saliency_engine.storage.overwrite import Files
from saliency_engine.table_job import TableJob
from saliency_engine.tables.facts_join import FactsJoiner, columns_to_index
from saliency_engine.tables.output import choose_format, open_output
from saliency_engine.tables.rejects import Rejects


def index_table(job: TableJob, config: RunConfig, *, count_frames: bool) -> int:
    """Write the rows of ``job.inputs`` with the columns of ``fact_columns``; returns how many failed.

    Lines that are no rows are among these. The output appears whole or not at all. Raises
    ``SaliencyError``; a clip that fails is no error but a row with its status.
    """
    files = Files()
    files.reads("--input", *job.inputs)
    files.writes("--output", job.output, may_replace="--input")
    files.writes("--rejects", job.rejects_path)
    rejects = Rejects(job.rejects_path)
    with open_input(job, columns_to_index(config), config, rejects.add) as table:
        files.reads("--input", *table.parts)
        joiner = FactsJoiner(config, table.schema)
        if joiner.replaced and not job.quiet:
            names = ", ".join(map(repr, joiner.replaced))
            note(f"the input has {names} already; the output has what probing tells there instead")
        output_format = choose_format(job.output, job.output_format, table.format)
        with (
            open_output(job.output, output_format, joiner.schema) as output,
            rejects.opened(),
            Prober(config, Locator(config, files, note), count_frames=count_frames) as prober,
        ):
            with ProgressDisplay([], [prober.counts], "off" if job.quiet else job.progress) as progress:
                for batch, outcomes in prober.results(table, lambda: progress.update(table, rejects.count)):
                    output.write(joiner.join(batch, outcomes))
            rejects.commit()
            output.commit(table.count_rows() - rejects.count)
    warn_of_no_rows(job, prober.counts.rows + rejects.count)
    if not job.quiet:
        print_index_summary(prober.counts, rejects)
    return prober.counts.failed + rejects.count
