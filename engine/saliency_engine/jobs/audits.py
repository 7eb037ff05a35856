"""Audits that stand beside the tables of their runs."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from saliency_engine.errors import InputError

_LARGEST = 16 << 20
"""Bytes: what is larger is not read in search of an audit, which has some 10 KB and the paths of the command."""


def read_audit(path: Path) -> dict[str, Any]:
    """The audit at ``path``. Raises ``InputError`` where it cannot be read, or is none."""
    try:
        audit = json.loads(path.read_bytes())
    except OSError as error:
        raise InputError(f"the audit {path} cannot be read: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"the audit {path} is not JSON: {error}") from error
    if not isinstance(audit, dict) or not {"summary", "config", "machine"} <= audit.keys():
        raise InputError(f"{path} is not an audit: those that --audit-json writes have summary, config and machine")
    return audit


def find_audit(table: Path) -> dict[str, Any] | None:
    """The newest audit in the table's folder that names the table as its output."""
    for path in _newest_first(table.parent.glob("*.json")):
        with suppress(InputError):
            audit = read_audit(path)
            named = Path(str(audit.get("output")))
            if any(_are_same(place, table) for place in (named, table.parent / named.name)):
                return audit
    return None


def _newest_first(paths: Iterable[Path]) -> list[Path]:
    """Those of ``paths`` that may be audits: files, and no large ones."""
    ages: dict[Path, int] = {}
    for path in paths:
        with suppress(OSError):  # a link that leads nowhere, say
            state = path.stat()
            if stat.S_ISREG(state.st_mode) and state.st_size <= _LARGEST:
                ages[path] = state.st_mtime_ns
    return sorted(ages, key=ages.__getitem__, reverse=True)


def _are_same(path: Path, other: Path) -> bool:
    with suppress(OSError):
        return path.samefile(other)
    return False
