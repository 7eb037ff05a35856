"""Runs over a table that may have numbers already, and what they write."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.csv as pa_csv
import pyarrow.json as pa_json
import pyarrow.parquet as pq

from saliency_engine.config import RunConfig
from saliency_engine.jobs.run import run_table
from saliency_engine.table_job import TableJob

FORMATS = ["jsonl", "parquet", "csv"]


def read(path: Path) -> list[dict[str, Any]]:
    readers = {".jsonl": pa_json.read_json, ".csv": pa_csv.read_csv, ".parquet": pq.read_table}
    rows: list[dict[str, Any]] = readers[path.suffix](path).to_pylist()
    return [{name: value for name, value in row.items() if value not in (None, "")} for row in rows]


def enrich(source: Path, output: Path, audit: str = "", **options: Any) -> dict[str, Any]:
    """One run in this process; ``options`` are those of ``RunConfig``. Gives the audit."""
    model = {} if "model_path" in options else {"model": "frequency_tuned_v1"}
    options = {"root": str(source.parent), "decode_workers": 1, "threads": 1, **model, **options}
    return run_table(TableJob(input=str(source), output=str(output), audit_json=audit), RunConfig(**options))
