"""The shape of the code, as CONTRIBUTING.md wants it: small modules, short functions, words that say what they hold."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.conftest import PROJECT

LINES, LINES_OF_A_FUNCTION = 250, 40
EMPTY_WORDS = {"told", "found", "said"}


def modules(*folders: str) -> Iterator[tuple[str, str]]:
    """(path, text) of every module."""
    for folder in folders:
        for path in sorted((PROJECT / folder).rglob("*.py")):
            yield str(path.relative_to(PROJECT)), path.read_text(encoding="utf-8")


def test_modules_are_small() -> None:
    assert [
        path for path, text in modules("engine", "exporter", "bench", "configs") if len(text.splitlines()) > LINES
    ] == []


def test_functions_fit_on_a_screen() -> None:
    assert [
        f"{path}:{node.lineno}: {node.name}"
        for path, text in modules("engine", "exporter", "bench", "configs")
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        if (node.end_lineno or 0) - node.lineno + 1 > LINES_OF_A_FUNCTION
    ] == []


def test_names_say_what_they_hold() -> None:
    assert [
        f"{path}:{getattr(node, 'lineno', 0)}: {name}"
        for path, text in modules("engine", "exporter", "bench", "configs", "tests")
        for node in ast.walk(ast.parse(text))
        if (name := bound_name(node)) in EMPTY_WORDS
    ] == []


def bound_name(node: ast.AST) -> str | None:
    """The variable, parameter, field or function that gets its name here."""
    match node:
        case ast.Name(id=str(name), ctx=ast.Store()) | ast.Attribute(attr=str(name)) | ast.arg(arg=str(name)):
            return name
        case ast.FunctionDef(name=str(name)) | ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)):
            return name
        case ast.keyword(arg=str(name)) | ast.alias(asname=str(name)):
            return name
    return None


def test_importing_one_room_loads_no_other() -> None:
    """Only the packages' own ``__init__`` say something: one hands on ``Engine``, the exporter's imports that one."""
    initials = [path for path, text in modules("engine", "exporter", "bench") if Path(path).stem == "__init__" and text]
    assert initials == ["engine/saliency_engine/__init__.py", "exporter/saliency_exporter/__init__.py"]
