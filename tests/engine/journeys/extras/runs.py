"""Runs with ``--extra``, and what they write."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.json as pa_json
import pyarrow.parquet as pq

from saliency_engine.config import RunConfig
from saliency_engine.extras import EXTRAS
from saliency_engine.jobs.run import run_table
from saliency_engine.table_job import TableJob

FORMATS = ["jsonl", "csv", "parquet", "arrow"]
SALIENCY = ["mean", "var", "status", "model_id", "aggregator", "ema_alpha", "sampling", "error"]
ALL = tuple(EXTRAS)
COLUMNS = [f"saliency_{role}" if group == "spread" else role for group, roles in EXTRAS.items() for role in roles]


def enrich(source: Path, output: Path, *extra: str, **options: Any) -> dict[str, Any]:
    """One run in this process; gives the audit."""
    options = {"model": "frequency_tuned_v1", "decode_workers": 1, "threads": 1, "extra": extra, **options}
    return run_table(TableJob(input=str(source), output=str(output), quiet=True), RunConfig(**options))


def read(path: Path) -> pa.Table:
    readers = {"jsonl": pa_json.read_json, "csv": pa_csv.read_csv, "parquet": pq.read_table}
    if path.suffix == ".arrow":
        with pa.ipc.open_file(path) as file:
            return file.read_all()
    return readers[path.suffix[1:]](path)
