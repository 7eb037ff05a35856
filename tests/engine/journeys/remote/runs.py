"""Runs over clips in an object store."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tests.in_process import run
from tests.rows import read_rows, write_clips

COMMON = ("--model", "frequency_tuned_v1", "--allow-remote", "--decode-workers", "2")


def outcomes(sources: Sequence[str | Path], *options: str, code: int = 0) -> list[tuple[str, str]]:
    """Status and reason of each."""
    write_clips(Path("in.jsonl"), sources)
    run("in.jsonl", "-o", "out.jsonl", *COMMON, *options, code=code)
    return [(row["saliency_status"], row.get("saliency_error") or "") for row in read_rows(Path("out.jsonl"))]
