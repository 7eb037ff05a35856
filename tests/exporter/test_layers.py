"""Modules of the exporter import only what lies below them: the rule in CONTRIBUTING.md, read from every import."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from tests.conftest import PROJECT
from tests.imports import imports

PACKAGE = PROJECT / "exporter" / "saliency_exporter"
LAYERS = (
    {"commands", "frequency_tuned", "graphs", "licence", "manifest", "sample_frames", "torch_version"},
    {"half_precision"},
    {"distill", "release", "rewrap", "u2netp", "variants"},
    {"distill_command", "mirror_commands"},
    {"cli"},
)
"""From the bottom to the top. Rooms in one set never import each other."""
HEIGHT = {room: height for height, rooms in enumerate(LAYERS) for room in rooms}
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path.name != "__init__.py")
NOT_OURS = ("saliency_engine.cli", "saliency_engine.jobs")
WITH_TORCH = PACKAGE / "u2netp" / "torch_export.py"


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def test_every_room_has_its_place() -> None:
    assert {room_of(path) for path in MODULES} == HEIGHT.keys()


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_imports_only_from_below(path: Path) -> None:
    room, names = room_of(path), set(imports(path))
    rooms = {name.split(".")[1] for name in names if name.startswith("saliency_exporter.")}
    wrong = sorted(other for other in rooms - {room} if HEIGHT[other] >= HEIGHT[room])
    assert not wrong, f"{room} must not import {', '.join(wrong)}"
    assert not [name for name in names if name.startswith(NOT_OURS)]


def test_beside_distilling_torch_is_imported_in_the_child_process_only() -> None:
    users = [path for path in MODULES if any(name.split(".")[0] == "torch" for name in imports(path))]
    assert [path for path in users if room_of(path) != "distill"] == [WITH_TORCH]
    starters = [path.name for path in MODULES if "saliency_exporter.u2netp.torch_export" in imports(path)]
    assert starters == ["torch_child.py"]


def test_packages_are_empty() -> None:
    written = [path for path in PACKAGE.rglob("__init__.py") if ast.parse(path.read_text(encoding="utf-8")).body]
    assert written == [PACKAGE / "__init__.py"]  # it sees to it that no library sends anything
