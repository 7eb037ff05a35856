"""`make help` lists every target of the Makefile and every variable that it, or a test, reads."""

from __future__ import annotations

import re
import subprocess

import pytest
from tests.conftest import PROJECT

MAKEFILE = (PROJECT / "Makefile").read_text(encoding="utf-8")
TARGETS = re.findall(r"^([a-z]+):", MAKEFILE, re.MULTILINE)
_ENVIRONMENT = re.compile(r'environ\.get\("((?:\w+_TEST|TORTURE|U2NET)_\w+)"')


@pytest.fixture(scope="module")
def help_text() -> str:
    done = subprocess.run(["make", "--no-print-directory"], cwd=PROJECT, capture_output=True, text=True, check=True)
    return done.stdout


def test_help_lists_every_target(help_text: str) -> None:
    assert re.findall(r"^make (\w+)", help_text, re.MULTILINE) == TARGETS


def test_help_lists_every_variable(help_text: str) -> None:
    own = re.findall(r"^(\w+) :=", MAKEFILE, re.MULTILINE)
    variables = {*re.findall(r"\$\(([A-Z]\w+)\)", MAKEFILE)} - {*own, "MAKEFILE_LIST", "MAKECMDGOALS"}
    for path in (PROJECT / "tests").rglob("*.py"):
        variables.update(_ENVIRONMENT.findall(path.read_text(encoding="utf-8")))
    assert {*re.findall(r"^(\w+)=", help_text, re.MULTILINE)} == variables


def test_every_target_but_the_installation_is_phony() -> None:
    (phony,) = re.findall(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)
    assert phony.split() == TARGETS
