"""What the lists of packages and repositories name: each file that is taken, and for what."""

from __future__ import annotations

import fnmatch
import glob
import hashlib
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

GROUPS = {"g": 40, "h": 10, "i": 4, "j": 6, "k": 40, "l": 40}
_POSE = re.compile(r"-?\d+[a-z]?$|-(standing|walking|running|laughing|screaming|stop|sitting|crouching)?(-[a-z])?$")


@dataclass(frozen=True)
class Item:
    """A file that is taken, and what for."""

    package: str
    file: Path
    use: str
    family: str
    groups: str
    is_taken_once: bool
    """Whether it has crops in the first round alone: of many photographs, few of each."""

    @property
    def group(self) -> str:
        """The group of the item's family: told by the name alone, so new sources move none of the others."""
        count = GROUPS[self.groups]
        return f"{self.groups}{int(hashlib.sha256(self.family.encode()).hexdigest(), 16) % count:02}"

    @property
    def name(self) -> str:
        return name_of(self.file)


def read_sources(folder: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The packages and the sources of a folder's lists, but those of ``photographs.toml``."""
    lists = tomllib.loads((folder / "sources.toml").read_text())
    books, of_books = read_repositories(folder / "textbooks.toml", {"use": "scene", "groups": "l", "once": True})
    return lists["package"] + books, lists["source"] + of_books


def read_repositories(file: Path, taken: dict[str, Any]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The packages and the sources of a list of repositories, of which the listed files alone are checked out.

    ``taken``: what else each source says, as in ``sources.toml``.
    """
    named, sources = [], []
    for each in tomllib.loads(file.read_text())["repository"]:
        name = each.get("name", each["url"].rpartition("/")[2])
        # No file's name is a pattern: not for git, and not for pathlib.
        paths = ["/" + re.sub(r"([][*?\\])", r"\\\1", path) for path in each["files"]]
        named.append({"kind": "git", "name": name, "url": each["url"], "version": each["commit"], "paths": paths})
        sources.append({"package": name, "files": [glob.escape(path) for path in each["files"]], **taken})
    return named, sources


def name_of(file: Path) -> str:
    """A short name for a file; of a wallpaper's many sizes, the name of the wallpaper."""
    stem = file.parts[-4] if re.fullmatch(r"\d+x\d+", file.stem) else file.stem
    return re.sub(r"[^A-Za-z0-9]+", "-", stem).strip("-").lower()


def family_of(name: str) -> str:
    """The name without a number at its end: poses of one person, views of one thing belong together."""
    return _POSE.sub("", name)


def listed(source: dict[str, Any], folder: Path) -> Iterator[Item]:
    """The files of one source; those that match its ``hold`` have the use "held"."""
    files = sorted({file for pattern in source["files"] for file in folder.glob(pattern) if file.is_file()})
    for file in files:
        path = f"/{file.relative_to(folder).as_posix()}"
        if any(fnmatch.fnmatchcase(path, pattern) for pattern in source.get("without", [])):
            continue
        held = any(fnmatch.fnmatchcase(path, pattern) for pattern in source.get("hold", []))
        name = name_of(file)
        once = source.get("once", False)
        family = source.get("family") or (family_of(name) if source["use"] == "stamp" or once else name)
        yield Item(source["package"], file, "held" if held else source["use"], family, source.get("groups", "g"), once)
