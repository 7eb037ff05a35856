"""The rows that failed: how many for which reason, and examples."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from saliency_engine.errors import InputError
from saliency_engine.storage.urls import show_path
from saliency_engine.types import ClipResult, RowBatch, Status

_EXAMPLES = 3
_MOST_REASONS = 100
"""Reasons beyond these are counted together: each clip could have one of its own."""
_OTHER = "other reasons"


@dataclass
class _Group:
    """Rows that failed in one way."""

    rows: int = 0
    clips: int = 0
    examples: list[dict[str, str]] = field(default_factory=list)
    reason: str = ""
    """That of the first of them, without its path."""
    reasons: set[str] = field(default_factory=set)
    """Two of the reasons at most, without paths: whether there is more than one."""


class Failures:
    """Counts failed rows by status and reason. In a reason, paths and numbers do not count."""

    def __init__(self) -> None:
        self._groups: dict[tuple[str, str], _Group] = {}

    def add(self, batch: RowBatch[Any], results: Sequence[ClipResult]) -> None:
        """Count those of ``batch``'s rows that failed; ``results[i]`` belongs to ``batch.clips[i]``."""
        failed = [(at, result) for at, result in enumerate(results) if result.status is not Status.OK]
        if not failed:
            return
        rows = np.bincount(batch.codes[batch.codes >= 0], minlength=len(results)).tolist()
        for at, result in failed:
            reason = result.reason or ""
            plain = _without_path(reason, result.path)
            key = str(result.status), re.sub(r"\d+", "N", plain)
            if key not in self._groups and len(self._groups) >= _MOST_REASONS:
                key = str(result.status), _OTHER
            group = self._groups.setdefault(key, _Group())
            group.rows += rows[at]
            group.clips += 1
            group.reason = group.reason or plain
            if len(group.reasons) < 2:
                group.reasons.add(plain)
            if len(group.examples) < _EXAMPLES:
                path = result.path or reason[_start_of_path(reason) :]
                group.examples.append({"clip": show_path(batch.clips[at].path), "path": path, "reason": reason})

    @property
    def rows(self) -> int:
        """How many rows have failed so far."""
        return sum(group.rows for group in self._groups.values())

    def check(self, limit: str, total: int | None, rejected: int) -> None:
        """Raise ``InputError`` when more rows failed than ``limit`` allows: a number, a share of ``total``, or empty.

        ``rejected`` lines count as failed, too. A share of an unknown total allows all.
        """
        if not limit or (limit.endswith("%") and total is None):
            return
        allowed = float(limit.rstrip("%")) * ((total or 0) / 100 if limit.endswith("%") else 1)
        failed = rejected + self.rows
        if failed > allowed:
            most = next(iter(self.as_json()), None)
            reason = f": {most['rows']} {most['status']}, {most['examples'][0]['reason']}" if most else ""
            raise InputError(
                f"{failed} rows failed, more than --max-failures {limit} allows: the run stops, and the output is not "
                f"written{reason}. Clips that were computed are in the memo"
            )

    def as_json(self) -> list[dict[str, Any]]:
        """The audit's part about failures, the most frequent first."""
        groups = sorted(self._groups.items(), key=lambda item: -item[1].rows)
        return [
            {
                "status": status,
                "reason": _OTHER if key == _OTHER else group.reason,
                "reasons": len(group.reasons),
                "rows": group.rows,
                "clips": group.clips,
                "examples": group.examples,
            }
            for (status, key), group in groups
        ]


def shorten_reason(reason: str) -> str:
    """``reason`` without the path that it ends with and without its numbers, which differ from clip to clip."""
    return re.sub(r"\d+", "N", _without_path(reason, ""))


def _without_path(reason: str, path: str) -> str:
    """``reason`` without the clip's path, which differs from clip to clip."""
    if path:
        reason = reason.replace(f" ({path})", "").replace(path, "…")
    return reason[: _start_of_path(reason)].rstrip(": ")


def _start_of_path(reason: str) -> int:
    """Where the path begins with which ``reason`` ends; its length where it ends with none."""
    match = re.search(r"(?<= )(/|[a-z0-9]+://)", reason)
    return match.start() if match else len(reason)
