"""A clip's path made from several columns of its row."""

from __future__ import annotations

import re
from collections.abc import Sequence

from saliency_engine.errors import ConfigError

_PART = re.compile(r"\{\{|\}\}|\{([^{}]+)\}|[{}]")


class PathTemplate:
    """Makes a clip's path: ``text``, with the row's value where ``{column}`` stands; ``{{`` and ``}}`` are braces.

    Each of ``expressions`` is ``COLUMN=EXPR``. What the first group of the regular expression matches in the column is
    used for the column's value; without a group it is all that is matched. Named groups may stand in ``text`` as
    columns do. An empty ``text`` stands for ``column`` alone. Raises ``ConfigError`` where something is wrong.
    """

    def __init__(self, text: str, expressions: Sequence[str], column: str) -> None:
        self._parts = _split(text) if text else [(True, column)]
        self._expressions = dict(map(_read_expression, expressions))
        fields = {name for is_field, name in self._parts if is_field}
        groups = {name for expression in self._expressions.values() for name in expression.groupindex}
        for name, expression in self._expressions.items():
            if not fields & {name, *expression.groupindex}:
                raise ConfigError(f"--path-regex names the column {name!r}: write {{{name}}} in --path-template, too")
        self.columns = tuple(dict.fromkeys([*sorted(fields - groups), *self._expressions]))
        """The columns that the path is made from."""

    def fill(self, values: Sequence[str | None]) -> tuple[str, str]:
        """The path of the row that has these ``values`` in ``columns``, or an empty one and the reason why."""
        fields: dict[str, str | None] = {}
        for name, value in zip(self.columns, values, strict=True):
            if not value:
                return "", f"column {name!r} has no text or number in this row: the clip's path is made from it"
            expression = self._expressions.get(name)
            if expression is None:
                fields.setdefault(name, value)
                continue
            match = expression.search(value)
            if match is None:
                return "", f"column {name!r} holds {value!r}, where --path-regex {expression.pattern!r} matches nothing"
            fields |= {name: match[1] if expression.groups else match[0], **match.groupdict()}
        parts = [fields[text] if is_field else text for is_field, text in self._parts]
        if None in parts:
            name = self._parts[parts.index(None)][1]
            return (
                "",
                f"the group of --path-regex for {name!r} matches nothing in this row: {', '.join(map(repr, values))}",
            )
        return "".join(map(str, parts)), ""


def _split(text: str) -> list[tuple[bool, str]]:
    """(whether it is a column's name, the text) of each part of a template."""
    parts, end = [], 0
    for match in _PART.finditer(text):
        parts.append((False, text[end : match.start()]))
        end = match.end()
        if match[0] in {"{", "}"}:
            raise ConfigError(
                f"--path-template {text}: a brace stands alone; write {{column}}, or two for a brace itself"
            )
        parts.append((True, match[1]) if match[1] else (False, match[0][0]))
    if not any(is_field for is_field, _ in parts):
        raise ConfigError(
            f"--path-template {text}: it names no column, so that all rows would name one clip; write {{column}}"
        )
    return [*parts, (False, text[end:])]


def _read_expression(text: str) -> tuple[str, re.Pattern[str]]:
    name, equals, expression = text.partition("=")
    if not (name and equals):
        raise ConfigError(f"--path-regex {text}: write it as COLUMN=EXPR")
    try:
        return name, re.compile(expression)
    except (re.error, RecursionError, OverflowError) as error:
        raise ConfigError(f"--path-regex {text}: not a regular expression: {error}") from error
