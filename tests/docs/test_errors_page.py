"""docs/errors.md lists every message that our own code raises."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest
from tests.conftest import PROJECT

from saliency_engine import errors

PAGE = " ".join((PROJECT / "docs" / "errors.md").read_text(encoding="utf-8").split())
_OURS = {name for name, kind in vars(errors).items() if isinstance(kind, type)}


def _literals(node: ast.expr) -> list[str]:
    """The fixed parts of a message: what lies between its placeholders."""
    match node:
        case ast.Constant(value=str(text)):
            return [text]
        case ast.JoinedStr(values=values):
            return [part for value in values for part in _literals(value)]
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            first, second = _literals(left), _literals(right)
            return [*first[:-1], first[-1] + second[0], *second[1:]] if first and second else first + second
    return []


def _messages() -> Iterator[tuple[str, str]]:
    """(where, the longest fixed part) of every error of ours that is made with words of its own."""
    for path in sorted((PROJECT / "engine" / "saliency_engine").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _OURS and node.args:
                longest = max(_literals(node.args[0]), key=len, default="").strip(" ;,:()")
                if re.search(r"\w{3}", longest):
                    yield f"{path.stem}:{node.lineno}", " ".join(longest.split())


@pytest.mark.parametrize(("where", "words"), [pytest.param(*message, id=message[0]) for message in _messages()])
def test_every_message_is_on_the_page(where: str, words: str) -> None:
    assert words in PAGE, f"{where} says {words!r}: tell its cause and its cure in docs/errors.md"
