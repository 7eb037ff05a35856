"""The input table of a job, opened as its options say."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager

from saliency_engine.config import RunConfig
from saliency_engine.table_job import TableJob
from saliency_engine.tables.columns import Columns
from saliency_engine.tables.input import Table, open_table
from saliency_engine.tables.jsonl_lines import Reject, ignore_line
from saliency_engine.tables.output import needs_batches


def open_input(
    job: TableJob, columns: Columns, config: RunConfig, reject: Reject, views: Sequence[Columns] = ()
) -> AbstractContextManager[Table]:
    """The table that ``job`` reads; lines that are no rows go to ``reject`` where the job has a file for them.

    A shard passes over them: the run that writes the table keeps them.

    ``config`` says where relative paths of clips start from, and whether URLs are read. Raises as ``open_table`` does,
    where ``views`` are explained.
    """
    return open_table(
        job.inputs,
        columns,
        root=config.root,
        output=job.output,
        lines_as_arrow=lambda format: not job.shard and needs_batches(format, job.output, job.output_format),
        header=not job.no_header,
        reject=ignore_line if job.shard else reject if job.rejects_path else None,
        remote=config.allow_remote,
        views=views,
    )
