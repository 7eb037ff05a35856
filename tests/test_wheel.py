"""The wheel as a package index shows it: its README needs no file beside it, and what builds it is pinned."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from tests.conftest import PROJECT
from tests.processes import HANG

_HOME = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["urls"]["Homepage"]
_LINK = re.compile(r"(!?)\[[^\]]*\]\(([^)\s]+)\)")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of a wheel that is built here."""
    folder = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=PROJECT, check=True, capture_output=True, timeout=HANG)
    (path,) = folder.iterdir()
    with zipfile.ZipFile(path) as files:
        return {name: files.read(name) for name in files.namelist()}


@pytest.fixture
def description(wheel: dict[str, bytes]) -> str:
    """What stands in the wheel's METADATA."""
    (content,) = (wheel[name] for name in wheel if name.endswith(".dist-info/METADATA"))
    head, _, body = content.decode().partition("\n\n")
    assert "Description-Content-Type: text/markdown" in head.splitlines()
    return body


def test_the_wheel_has_the_readme_with_absolute_links(description: str) -> None:
    readme = (PROJECT / "README.md").read_text(encoding="utf-8")
    before, after = _LINK.findall(readme), _LINK.findall(description)
    assert {mark for mark, _ in before} == {"", "!"}  # there are links and pictures
    kinds = {"": "blob", "!": "raw"}
    assert after == [
        (mark, target if "://" in target else f"{_HOME}/{kinds[mark]}/HEAD/{target}") for mark, target in before
    ]
    assert _LINK.sub("", description).split() == _LINK.sub("", readme).split()


def test_the_wheel_has_the_built_in_models_with_their_cards_and_notices(wheel: dict[str, bytes]) -> None:
    for model_id in ("saliency_open_v1", "frequency_tuned_v1"):
        for suffix in (".onnx", ".md"):
            name = f"saliency_engine/assets/{model_id}{suffix}"
            assert wheel[name] == (PROJECT / "engine" / name).read_bytes()
    for name in ("LICENSE", "NOTICE"):
        (content,) = (wheel[path] for path in wheel if path.endswith(f".dist-info/licenses/{name}"))
        assert content == (PROJECT / name).read_bytes()
    assert sum(map(len, wheel.values())) < 10_000_000


def test_the_lock_has_what_builds_the_wheel() -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())
    pinned = re.findall(r"^([\w-]+)==", Path(PROJECT / "constraints.txt").read_text(), re.MULTILINE)
    needed = {re.split(r"[>=<]", requirement)[0] for requirement in project["build-system"]["requires"]}
    assert needed <= set(pinned)
