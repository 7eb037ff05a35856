"""Foreign text on a terminal: paths, column names, messages of libraries."""

from __future__ import annotations


def counted(number: int, noun: str) -> str:
    """``1 clip``, ``2 clips``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def printable(text: object) -> str:
    """``text`` on one line, with everything that could steer a terminal or mislead its reader written as an escape.

    That is what Unicode calls not printable: control characters, line ends, marks that turn the direction of writing,
    halves of surrogate pairs.
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in str(text))
