"""Which files a command reads and which it writes, so that none of them is written over another."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from saliency_engine.errors import ConfigError
from saliency_engine.storage.contents import HEAD_BYTES, Content, identify
from saliency_engine.storage.urls import is_remote, show_path

_Key = tuple[object, ...]
_STANDARD = {"--input": 0, "--output": 1}
GONE = "which has been deleted: change to a folder that is there, or give the whole path"
"""What to say of the current folder when a path that starts from it is of no use."""
PARTIAL, OF_SQLITE = (".partial",), ("-wal", "-shm", "-journal")
"""What is appended to a path to name the files that are written beside it."""
_KINDS: dict[tuple[str, ...], tuple[Content, ...]] = {
    (".json", ".jsonl", ".ndjson"): (Content.JSON,),
    (".csv", ".tsv", ".md"): (Content.TEXT,),
    (".gz",): (Content.GZIP,),
    (".zst",): (Content.ZSTD,),
    (".parquet", ".pq"): (Content.PARQUET,),
    (".arrow", ".feather"): (Content.ARROW, Content.STREAM),
    (".png", ".jpg", ".jpeg", ".pdf"): (Content.PNG, Content.JPEG, Content.PDF),
    (".onnx",): (Content.ONNX,),
    (".html",): (Content.WEB_PAGE,),
}
"""What a file that may be replaced is by its first bytes, for each suffix."""


class Files:
    """The files of one command, each with the option that names it. An empty path is no file.

    Two paths are one file where links lead from one to the other, where they are hard links, and where the file system
    takes their names for the same. ``reads`` and ``writes`` raise ``ConfigError`` naming both options and their paths
    where a file would be written over another; they are to be called before anything is written.
    """

    def __init__(self) -> None:
        self._read: dict[_Key, list[str]] = {}
        self._written: dict[_Key, tuple[str, str]] = {}

    def reads(self, option: str, *paths: str | Path) -> None:
        """The command reads the files at ``paths`` (``-``: stdin)."""
        for path in filter(None, map(str, paths)):
            for key in _keys_of(path, option):
                self._check(self._written.get(key), f"{option} {path}")
                self._read.setdefault(key, []).append(f"{option} {path}")

    def writes(
        self,
        option: str,
        path: str | Path,
        beside: Iterable[str] = PARTIAL,
        *,
        may_replace: str = "",
        holds: str = "",
    ) -> None:
        """The command writes the file at ``path`` (``-``: stdout), and others ``beside`` it.

        ``may_replace`` is an option whose file may be this one, because it is replaced when all of it has been read.
        Any other file that is there must be one that such a command writes: of the kind that belongs to the suffix
        ``holds``, by default that of ``path``; else ``ConfigError``.
        """
        path = str(path)
        if not path:
            return
        if is_remote(path) and not Path(path).parent.is_dir():  # else it would be written to a folder named s3:
            raise ConfigError(f"{option} {show_path(path)}: only files of this machine are written: copy it afterwards")
        writer, own = f"{option} {path}", set(_keys_of(path, option))
        for suffix in ("", *(beside if path != "-" else ())):
            named = f"{_resolve(path, option)}{suffix}" if suffix else path
            mention = f"{writer} (with {named} beside it)" if suffix else writer
            for key in _keys_of(named, option):
                for reader in self._read.get(key, ()):
                    if not (key in own and path != "-" and may_replace and reader.startswith(f"{may_replace} ")):
                        self._check((option, mention), reader)
                if key in self._written and self._written[key][0] != option:
                    self._check((option, mention), self._written[key][1])
                self._written[key] = option, mention
        readers = [reader for key in own for reader in self._read.get(key, ())] if may_replace else []
        if path != "-" and not any(reader.startswith(f"{may_replace} ") for reader in readers):
            _check_kind(option, path, holds)

    def reads_clip(self, path: str, status: os.stat_result) -> None:
        """The command reads the clip at ``path``, which ``status`` is of: ``reads`` for many, without a system call."""
        if self._written:
            self._check(self._written.get((status.st_dev, status.st_ino)), f"the clip {path}")

    @staticmethod
    def _check(writer: tuple[str, str] | None, other: str) -> None:
        if writer is not None:
            option, mention = writer
            raise ConfigError(f"{mention} would overwrite {other}: give {option} another path")


def _check_kind(option: str, path: str, holds: str) -> None:
    """Raise ``ConfigError`` where the file at ``path`` is something that no command of ours writes there."""
    name = (holds or path).lower()
    wanted = next((contents for suffixes, contents in _KINDS.items() if name.endswith(suffixes)), ())
    try:
        if not wanted or not stat.S_ISREG(Path(path).stat().st_mode):
            return
        with Path(path).open("rb") as file:
            head = file.read(HEAD_BYTES)
    except (OSError, ValueError):  # nothing is there, or it is for others to say what is wrong with it
        return
    content = identify(head)
    if head.strip() and content not in wanted:
        raise ConfigError(
            f"{option} {path} would overwrite {content or 'other data'}, where {' or '.join(wanted)} belongs: give "
            f"{option} another path, or remove that file first"
        )


def _keys_of(path: str, option: str) -> Iterator[_Key]:
    """What is the same for all names of the file at ``path``: its number, and its name in the folder that it is in."""
    if path == "-" and option in _STANDARD:
        try:
            status = os.fstat(_STANDARD[option])
        except OSError:  # it is closed
            return
        if stat.S_ISREG(status.st_mode):
            yield status.st_dev, status.st_ino
        return
    real = _resolve(path, option)
    with suppress(OSError, ValueError):
        status = Path(real).stat()
        yield status.st_dev, status.st_ino
    try:
        folder = Path(real).parent.stat()
        yield folder.st_dev, folder.st_ino, Path(real).name
    except (OSError, ValueError):
        yield (real,)


def _resolve(path: str, option: str) -> str:
    try:
        return os.path.realpath(path)
    except FileNotFoundError:
        raise ConfigError(f"{option} {path} starts from the current folder, {GONE}") from None
