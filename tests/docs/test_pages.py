"""Every page can be found, every link and anchor leads somewhere, and every name of a file or module is right."""

from __future__ import annotations

import pkgutil
import re
from pathlib import Path

import pytest
from tests.conftest import PROJECT

_FOLDERS = ("bench", "configs", "docs", "engine", "exporter", "tests")
PAGES = sorted([*PROJECT.glob("*.md"), *(page for folder in _FOLDERS for page in (PROJECT / folder).rglob("*.md"))])
_INDEX = PROJECT / "docs" / "README.md"


def _prose(page: Path) -> str:
    """The page without its blocks of code."""
    return re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


def _links(page: Path) -> list[tuple[Path, str]]:
    """(file or folder, anchor) of every relative link; a link within the page names the page itself."""
    targets = re.findall(r"\]\((?!\w+:)([^)#\s]*)(?:#([^)\s]*))?\)", re.sub(r"`[^`]*`", "", _prose(page)))
    return [((page.parent / name).resolve() if name else page, anchor) for name, anchor in targets]


def _anchors(page: Path) -> set[str]:
    """The anchors of the page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", _prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def _relative(page: Path) -> str:
    return str(page.relative_to(PROJECT))


@pytest.mark.parametrize("page", PAGES, ids=_relative)
def test_every_link_leads_somewhere(page: Path) -> None:
    for target, anchor in _links(page):
        assert target.exists(), f"{page.name}: {target}"
        assert not anchor or anchor in _anchors(target), f"{page.name}: #{anchor} is no heading of {target.name}"


def test_every_page_is_two_clicks_from_the_readme() -> None:
    first = {target for target, _ in _links(PROJECT / "README.md")}
    assert _INDEX in first
    reached = first | {target for target, _ in _links(_INDEX)} | {PROJECT / "README.md"}
    assert set(PAGES) <= reached


@pytest.mark.parametrize("page", PAGES, ids=_relative)
def test_every_file_that_a_page_names_is_there(page: Path) -> None:
    """Paths from the root of the repository, also in commands; a star stands for any characters."""
    for name in re.findall(rf"(?<![\w./-])(?:{'|'.join(_FOLDERS)})/[\w./*-]*[\w/*]", page.read_text(encoding="utf-8")):
        assert any(PROJECT.glob(name.rstrip("/"))), f"{page.name}: {name}"


@pytest.mark.parametrize("page", PAGES, ids=_relative)
def test_every_test_that_a_page_names_is_there(page: Path) -> None:
    tests = {path.name for path in (PROJECT / "tests").rglob("test_*.py")}
    assert set(re.findall(r"\btest_\w+\.py\b", page.read_text(encoding="utf-8"))) <= tests


@pytest.mark.parametrize("page", PAGES, ids=_relative)
def test_every_module_that_a_page_names_is_there(page: Path) -> None:
    for name in re.findall(r"`(saliency_(?:engine|exporter)(?:\.\w+)+)`", page.read_text(encoding="utf-8")):
        pkgutil.resolve_name(name)
