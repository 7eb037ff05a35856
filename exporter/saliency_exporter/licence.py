"""What an upstream checkout says of licence and version: LICENSE, NOTICE, and the commit that it is at."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from saliency_engine.errors import ModelError

_NOTICES = ("NOTICE", "NOTICE.txt", "NOTICE.md")
_APACHE_PHRASES = (
    "apache license version 2.0, january 2004",
    "terms and conditions for use, reproduction, and distribution",
    "1. definitions.",
    "2. grant of copyright license.",
    "3. grant of patent license.",
    "4. redistribution.",
    "5. submission of contributions.",
    "6. trademarks.",
    "7. disclaimer of warranty.",
    "8. limitation of liability.",
    "9. accepting warranty or additional liability.",
    "end of terms and conditions",
)
"""What makes a text the Apache License 2.0: its title and its nine sections, in this order."""
_ADDED_CONDITIONS = re.compile(r"commons clause|non-?commercial", re.IGNORECASE)


def find_license(folder: Path) -> Path:
    """The checkout's LICENSE. Raises ``ModelError`` where it has none, or one that is not recognisably Apache-2.0."""
    path = folder / "LICENSE"
    if not path.is_file():
        raise ModelError(f"{folder} has no LICENSE, so a model made from it could not be passed on")
    check_license(path)
    return path


def find_notice(folder: Path) -> Path | None:
    """The checkout's NOTICE, if it has one."""
    return find_first(folder, _NOTICES)


def check_license(path: Path) -> None:
    """Raise ``ModelError`` unless the text is recognisably the Apache License 2.0 without further conditions."""
    text = path.read_text(encoding="utf-8", errors="replace")
    words, at = " ".join(text.split()).lower(), 0
    for phrase in _APACHE_PHRASES:
        at = words.find(phrase, at)
        if at < 0:
            raise ModelError(f"{path} is not recognisably Apache-2.0: {phrase!r} is missing or out of order")
    added = _ADDED_CONDITIONS.search(text)
    if added:
        raise ModelError(f"{path} adds a condition to Apache-2.0 ({added[0]!r}) that this exporter cannot judge")


def find_first(folder: Path, names: tuple[str, ...]) -> Path | None:
    """The first of the files ``names`` that ``folder`` has."""
    return next((folder / name for name in names if (folder / name).is_file()), None)


def read_head(folder: Path) -> str | None:
    """The git HEAD, ``None`` where the folder is not a git checkout. Raises ``ModelError`` when it cannot be read."""
    if not (folder / ".git").exists():
        return None
    # Inside a git hook these variables name the hook's repository, and git would read that one's HEAD.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    command = ["git", "-c", f"safe.directory={folder.resolve()}", "-C", str(folder), "rev-parse", "--verify", "HEAD"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    except FileNotFoundError as error:
        raise ModelError(
            f"{folder} is a git checkout, and its commit can only be read with git: install git"
        ) from error
    if done.returncode != 0:
        raise ModelError(f"the commit of the git checkout {folder} cannot be read: {done.stderr.strip()[-200:]}")
    return done.stdout.strip()
