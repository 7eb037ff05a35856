"""Where clips that were not found may be: what a look at the disk suggests."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

_SUFFIXES = (".mp4", ".webm", ".mkv", ".mov", ".avi", ".y4m", ".yuv")
_MOST_ZEROS = 12


def hint_at_paths(audit: dict[str, Any]) -> str:
    """What may help the clips that the audit's run did not find; empty where all were found or nothing helps a part."""
    missing = [failure for failure in audit["failures"] if failure["status"] == "missing-source"]
    if not missing:
        return ""
    all_rows = sum(failure["rows"] for failure in missing) == audit["summary"]["total"] - audit["summary"]["rejected"]
    with suppress(OSError):  # a folder that is closed to us is not looked into
        for example in missing[0]["examples"]:
            for suggestion in _look_around(example, audit):
                return f"{'no clip' if all_rows else 'not every clip'} was found, but {suggestion}"
    if not all_rows:
        return ""
    example, config = missing[0]["examples"][0], audit["config"]
    if not example["path"].startswith("/"):  # there is none, or it is a URL
        return ""
    made = "--path-template" if config["path_template"] or config["path_regex"] else f"column {config['path_column']!r}"
    gone = _first_missing(Path(example["path"]))
    return (
        f"no clip was found: {made} gives {example['clip']!r}, which stands for {example['path']}, and there is no "
        f"{gone}. --root names the folder that relative paths start from, --path-column another column, "
        "--path-suffix a missing ending, and --path-template makes paths of several columns"
    )


def _look_around(example: dict[str, str], audit: dict[str, Any]) -> Iterator[str]:
    """What the disk has in place of the file of ``example``, and the option that leads there."""
    wanted, clip, config = Path(example["path"]), example["clip"], audit["config"]
    if not example["path"].startswith("/") or ", " in example["path"]:  # none, or one for each suffix
        return
    if not wanted.name:  # the root folder, beside which there is nothing
        return
    for suffix in _SUFFIXES:
        if (file := wanted.with_name(wanted.name + suffix)).is_file():
            yield f"{file} is there: give --path-suffix {suffix}"
    for folder in _folders(config["root"], audit["input"]):
        if not Path(clip).is_absolute() and (folder / clip).is_file():
            yield f"{folder / clip} is there: give --root {folder}"
    if digits := re.fullmatch(r"(\d+)(\.0)?(\D.*)?", wanted.name):
        number, _, rest = digits.groups("")
        for zeros in range(_MOST_ZEROS):
            if (file := wanted.with_name("0" * zeros + number + rest)).is_file() and file != wanted:
                lost = "ends in .0" if digits[2] else "lost its leading zeros"
                yield f"{file} is there: the id was read as a number and {lost}; write the ids as text"
    for parts in range(1, len(Path(clip).parts)):
        shorter = Path(*Path(clip).parts[parts:])
        if (file := Path(config["root"], shorter).absolute()).is_file():
            head = "/".join(Path(clip).parts[:parts]).replace("//", "/")
            regex = f"{config['path_column']}={re.escape(head)}/(.*)"
            yield f"{file} is there: the paths begin with {head!r}, which is too much; give --path-regex '{regex}'"


def _folders(root: str, inputs: str | list[str] | tuple[str, ...]) -> Iterator[Path]:
    """Folders that paths may start from: the current one, the input's, and those right above and below them."""
    names = [inputs] if isinstance(inputs, str) else inputs
    starts = [Path.cwd(), *(Path(name).absolute().parent for name in names[:1] if name != "-")]
    starts += [Path(root).absolute().parent] if root else []
    for start in dict.fromkeys(starts):
        yield start
        yield start.parent
        yield from sorted(path for path in start.iterdir() if path.is_dir())[:100] if start.is_dir() else ()


def _first_missing(path: Path) -> Path:
    """The first of the folders down to ``path`` that does not exist, or ``path`` itself."""
    return next((folder for folder in reversed(path.parents) if not folder.exists()), path)
