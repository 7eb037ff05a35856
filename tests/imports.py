"""What a module imports, read from its text."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path


def imports(path: Path, *, for_types: bool = True) -> Iterator[str]:
    """The dotted names that a module imports, wherever in it; those under ``if TYPE_CHECKING`` only ``for_types``."""
    module = ast.parse(path.read_text(encoding="utf-8"))
    if not for_types:
        module.body = [node for node in module.body if not _is_for_types(node)]
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _is_for_types(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
