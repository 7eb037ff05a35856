"""The rules of CONTRIBUTING.md on imports: a room imports only what lies below it, and a library has one room."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from tests.conftest import PROJECT
from tests.imports import imports

PACKAGE = PROJECT / "engine" / "saliency_engine"
LAYERS = (
    {"errors"},
    {"extras", "options", "path_template", "tags"},
    {"table_job"},
    {"config", "facts"},
    {"samplings"},
    {"types"},
    {"machine", "numerics", "storage"},
    {"tables", "video", "models"},
    {"inference"},
    {"pipeline"},
    {"report"},
    {"jobs"},
    {"cli"},
)
"""From the bottom to the top. Rooms in one set never import each other."""
HEIGHT = {room: height for height, rooms in enumerate(LAYERS) for room in rooms}
HOMES = {
    "av": {"video"},
    "click": {"cli"},
    "cv2": {"video"},  # what scenedetect computes with
    "cryptography": {"models"},
    "fsspec": {"storage"},
    "google": {"models"},  # Protocol Buffers, in which ONNX files are written
    "jinja2": {"report"},
    "markupsafe": {"report"},  # what jinja2 takes for HTML
    "matplotlib": {"jobs", "report"},  # the chart of `bench`, and those of pages
    "numba": {"numerics"},
    "onnx": {"models"},
    "onnxruntime": {"inference"},
    "openvino": {"inference"},
    "PIL": {"report"},
    "pyarrow": {"tables"},
    "ray": {"pipeline"},
    "rich": {"report", "jobs"},  # `show`, `doctor` and `bench` print tables of their own
    "scenedetect": {"video"},
    "scipy": {"numerics"},
    "sigstore": {"models"},
    "sklearn": {"numerics"},
    "sqlite3": {"pipeline"},
    "threadpoolctl": {"numerics"},  # scikit-learn's own
}
"""Libraries by the rooms that may import them; numpy and orjson may be imported anywhere."""
MODULES = sorted(PACKAGE.rglob("*.py"))


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def may_import(room: str, other: str) -> bool:
    return room == other or room in {"__init__", "__main__"} or HEIGHT[other] < HEIGHT[room]


def test_every_room_has_its_place() -> None:
    rooms = {room_of(path) for path in MODULES} - {"__init__", "__main__"}
    assert rooms == HEIGHT.keys()


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_imports_only_from_below(path: Path) -> None:
    room = room_of(path)
    others = {name.split(".")[1] for name in imports(path) if name.startswith("saliency_engine.")}
    wrong = sorted(other for other in others if other in HEIGHT and not may_import(room, other))
    assert not wrong, f"{room} must not import {', '.join(wrong)}"
    foreign = {name.split(".")[0] for name in imports(path)}
    assert not foreign & {"torch", "saliency_exporter"}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_library_has_one_room(path: Path) -> None:
    libraries = {name.split(".")[0] for name in imports(path, for_types=False)}
    foreign = sorted(library for library in libraries if room_of(path) not in HOMES.get(library, {room_of(path)}))
    assert not foreign, f"{room_of(path)} must not import {', '.join(foreign)}"


def test_every_library_is_known() -> None:
    libraries = {name.split(".")[0] for path in MODULES for name in imports(path, for_types=False)}
    known = {*HOMES, "numpy", "orjson", "saliency_engine", "__future__", *sys.stdlib_module_names}
    assert not libraries - known, "say in HOMES which room imports it"
