"""Runs that fill a memo, and the command that looks after it."""

from __future__ import annotations

from typing import Any

from tests.engine.conftest import command

from saliency_engine.config import RunConfig
from saliency_engine.jobs.run import run_table
from saliency_engine.table_job import TableJob

MODEL = "frequency_tuned_v1"


def clips_of(output: str, **options: Any) -> tuple[int, int]:
    """How many clips a run computes, and how many it has from the memo."""
    config = RunConfig(**{"model": MODEL, "decode_workers": 2, **options})
    clips = run_table(TableJob(input="in.jsonl", output=output, quiet=True), config)["clips"]
    return clips["computed"], clips["reused"]


def memo(*arguments: str, code: int = 0) -> None:
    """``saliency-batch memo``, which must end with the exit status ``code``."""
    status = 0
    try:
        command("memo", *arguments)
    except SystemExit as end:
        status = int(end.code or 0)
    assert status == code
