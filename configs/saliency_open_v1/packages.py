"""Downloads the packages and checks out the repositories that a list of sources names, without installing any."""

from __future__ import annotations

import hashlib
import os
import shutil
import struct
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_WHEELS = ("--no-deps", "--only-binary=:all:", "--python-version=3.11", "--platform=manylinux_2_17_x86_64", "--quiet")
"""One wheel, whatever Python runs this: the recorded sha256 is of that one."""


def fetch(package: dict[str, Any], cache: Path) -> Path:
    """Returns the folder with the package's files; downloads and unpacks it, or checks it out, on the first call.

    Raises ``SystemExit`` where that fails, or its sha256 or commit is not the recorded one.
    """
    folder = cache / f"{package['name']}_{package['version'].replace(':', '%3a')}"
    complete, taken = folder / ".complete", "\n".join(package.get("paths", []))
    if complete.exists() and complete.read_text() == taken:
        return folder
    shutil.rmtree(folder, ignore_errors=True)  # what was begun and not finished may be damaged
    if package["kind"] == "git":
        check_out(package, folder)
    else:
        unpack(download(package, cache), folder)
    complete.write_text(taken)
    return folder


def check_out(package: dict[str, Any], folder: Path) -> None:
    """Checks files out of the package's repository at the recorded commit, whose id is a hash of all that it holds.

    Raises ``SystemExit`` where git fails.
    """
    folder.mkdir(parents=True)
    # Where git itself runs this, as in a hook, these variables name another repository.
    foreign = subprocess.run(["git", "rev-parse", "--local-env-vars"], check=True, capture_output=True, text=True)
    environment = {name: value for name, value in os.environ.items() if name not in foreign.stdout.split()}
    for arguments in (
        ("init", "--quiet"),
        ("config", "remote.origin.url", package["url"]),
        ("config", "remote.origin.promisor", "true"),
        ("config", "remote.origin.partialclonefilter", "blob:none"),
        ("sparse-checkout", "set", "--no-cone", *package["paths"]),
        ("fetch", "--quiet", "--depth", "1", "origin", package["version"]),
        ("checkout", "--quiet", package["version"]),
    ):
        asks_nothing = environment | {"GIT_TERMINAL_PROMPT": "0"}
        if subprocess.run(["git", *arguments], check=False, cwd=folder, env=asks_nothing).returncode != 0:
            raise SystemExit(f"git {' '.join(arguments)} failed for {package['url']}")


def download(package: dict[str, Any], cache: Path) -> Path:
    """Returns the archive of a package. Raises ``SystemExit`` where that fails or it is not the recorded one."""
    name, version = package["name"], package["version"]
    downloads = cache / "downloads" / name
    downloads.mkdir(parents=True, exist_ok=True)
    if package["kind"] == "deb":
        command = ["apt-get", "download", f"{name}={version}"]
    else:
        command = [sys.executable, "-m", "pip", "download", *_WHEELS, f"{name}=={version}"]
    if subprocess.run(command, check=False, cwd=downloads).returncode != 0:
        raise SystemExit(f"{' '.join(command)} failed; correct the version of {name} in sources.toml if it has gone")
    archive: Path = max((file for file in downloads.iterdir() if file.is_file()), key=lambda file: file.stat().st_mtime)
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    if digest != package["sha256"]:
        raise SystemExit(f"{archive} has sha256 {digest}, and sources.toml records {package['sha256']}")
    return archive


def unpack(archive: Path, folder: Path) -> None:
    """Unpacks a .deb or a wheel, and each Qt resource file (.rcc) inside it."""
    folder.mkdir(parents=True, exist_ok=True)
    if archive.suffix == ".deb":
        subprocess.run(["dpkg-deb", "-x", str(archive), str(folder)], check=True)
    else:
        with zipfile.ZipFile(archive) as wheel:
            wheel.extractall(folder)
    for resource in sorted(folder.rglob("*.rcc")):
        for name, data in resource_files(resource.read_bytes()):
            target = resource.with_suffix("") / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)


def resource_files(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Yields (path, content) for each stored or zlib-packed file of a Qt resource file (format 1 to 3).

    The format is the one that Qt's ``rcc --binary`` writes: big-endian, a tree of 14-byte nodes (22 from format 2 on).
    """
    magic, version, tree, contents, names = struct.unpack(">4sIIII", data[:20])
    if magic != b"qres":
        raise ValueError("not a Qt resource file")
    step = 14 if version < 2 else 22

    def name(node: int) -> str:
        start = names + struct.unpack_from(">I", data, tree + node * step)[0]
        length = struct.unpack_from(">H", data, start)[0]
        return data[start + 6 : start + 6 + 2 * length].decode("utf-16-be")

    def walk(node: int, path: str) -> Iterator[tuple[str, bytes]]:
        flags, first, second = struct.unpack_from(">HII", data, tree + node * step + 4)
        if flags & 2:
            for child in range(second, second + first):
                yield from walk(child, f"{path}/{name(child)}" if path else name(child))
        elif not flags & 4:
            start = contents + second
            content = data[start + 4 : start + 4 + struct.unpack_from(">I", data, start)[0]]
            yield path, zlib.decompress(content[4:]) if flags & 1 else content

    return walk(0, "")
