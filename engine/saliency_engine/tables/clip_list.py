"""Clips that a user names without a table: files, folders of them, patterns, and text files with their paths."""

from __future__ import annotations

import glob
import io
import itertools
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePath

import pyarrow as pa

from saliency_engine.errors import ConfigError, InputError
from saliency_engine.storage.contents import HEAD_BYTES, Content, identify
from saliency_engine.storage.urls import NO_URLS, is_remote, is_url, refusal_of, show_path
from saliency_engine.tables import formats
from saliency_engine.tables.batches import BATCH_ROWS
from saliency_engine.tables.formats import Format, Opened

_CLIP_SUFFIXES = frozenset(
    (
        *(".264", ".265", ".266", ".3gp", ".asf", ".av1", ".avi", ".divx", ".dv", ".f4v", ".flv", ".gif", ".h264"),
        *(".h265", ".hevc", ".ivf", ".m1v", ".m2ts", ".m2v", ".m4v", ".mjpeg", ".mjpg", ".mkv", ".mov", ".mp4"),
        *(".mpeg", ".mpg", ".mts", ".mxf", ".nut", ".obu", ".ogv", ".ts", ".vob", ".vvc", ".webm", ".wmv", ".y4m"),
        ".yuv",
    )
)
_LIST_SUFFIXES = (".txt", ".lst")
_SHOWN_SUFFIXES = 8


class Inputs:
    """What ``paths`` name: one table, the parts of one, or clips. Raises ``ConfigError`` and ``InputError``.

    ``output`` is the file that the command writes: in a folder it is passed over. ``remote``: URLs may be among them;
    ``None``: nor is there an option for that.
    """

    def __init__(self, paths: Sequence[str], output: str = "", *, remote: bool | None = None) -> None:
        self._remote = {path for path in paths if remote and is_remote(path)}
        self._output = os.path.realpath(output) if output else ""
        self.table = ""
        """The path of the table, or empty."""
        self.parts: list[str] = []
        """The Parquet files that are one table together."""
        self.former = ""
        """The ``output`` among them, which is left out: an earlier run has written it."""
        self.is_remote = paths[0] in self._remote
        """Whether the table is to be fetched."""
        self.name = "stdin" if paths[0] == "-" else paths[0] + (f" and {len(paths) - 1} more" if paths[1:] else "")
        """For messages."""
        self._paths = paths
        for path in paths:
            if path in self._remote:
                _check_remote(path)
            elif is_url(path) and not (Path(path).exists() or glob.has_magic(path)):
                raise InputError(f"{show_path(path)}: {NO_URLS if remote is None else refusal_of(path)}")
        tables = [path for path in paths if path == "-" or (formats.is_table(path) and not is_group(path))]
        if len(paths) == 1 and tables:
            self.table = paths[0]
        elif tables:
            if self._remote.intersection(tables):
                raise InputError(f"remote tables are run one by one: give {tables[0]} alone, or download the parts")
            if len(tables) < len(paths) or not all(map(_is_parquet, paths)):
                raise InputError("tables are run one by one; only the Parquet parts of one table go together")
            self.parts = list(paths)
        else:
            for path in paths:
                if path not in self._remote:
                    self._check(path)

    @property
    def are_files(self) -> bool:
        """Whether the clips are files that are there, and no lines of text files."""
        return not any(path.lower().endswith(_LIST_SUFFIXES) and not is_group(path) for path in self._paths)

    def list_clips(self, root: str) -> Iterator[str]:
        """The path of every clip, folder by folder and there in the order of names; as the user would write it.

        With a ``root`` they become relative to it, but for those in text files, which are so already.
        """
        for path in self._paths:
            if path in self._remote:
                yield path
            elif is_group(path):
                yield from (_relative(file, root) for file in list_files(path) if is_clip(file))
            elif path.lower().endswith(_LIST_SUFFIXES):
                yield from _read_list(path)
            else:
                yield _relative(path, root)

    def open_clips(self, path_column: str, root: str) -> Opened:
        """The clips as a table with one column; see ``list_clips``."""
        schema, count = pa.schema([(path_column, pa.string())]), 0

        def pieces() -> Iterator[tuple[float | None, pa.RecordBatch]]:
            nonlocal count
            clips = self.list_clips(root)
            while paths := list(itertools.islice(clips, BATCH_ROWS)):
                count += len(paths)
                are_all = len(paths) < BATCH_ROWS
                yield 1.0 if are_all else None, pa.RecordBatch.from_arrays([_as_array(paths)], schema=schema)

        return Opened(Format("clips"), pieces(), lambda: count, schema)

    def _check(self, path: str) -> None:
        """Find out now what is no clip, and whether a folder holds any."""
        if not is_group(path):
            is_there, is_known = Path(path).exists(), is_clip(path) or path.lower().endswith(_LIST_SUFFIXES)
            if not is_there and (is_known or not PurePath(path).suffix):
                raise InputError(f"{path}: no such file or folder")
            if not is_known:
                raise ConfigError(
                    f"--input {path}: unknown suffix; known are {' '.join(formats.SUFFIXES)} for tables, "
                    f"{' '.join(_LIST_SUFFIXES)} for lists of paths, - for a pipe, and those of clips, such as .mp4"
                )
            return
        if any(map(is_clip, list_files(path))):
            return
        if len(self._paths) == 1:
            for part in filter(_is_parquet, list_files(path)):
                if os.path.realpath(part) == self._output:
                    self.former = part
                else:
                    self.parts.append(part)
            if any("=" in part.removeprefix(path).rpartition(os.sep)[0] for part in self.parts):
                raise InputError(
                    f"{path}: the names of its folders hold columns (such as split=train), which are not read here: "
                    "write it as one table first"
                )
        if not self.parts:
            raise InputError(f"{path}: {_describe_files(list_files(path))}")


def _check_remote(url: str) -> None:
    if show_path(url) != url:
        raise InputError(
            f"{show_path(url)}: a URL that the command names must hold no name, password or query, because the audit "
            "would keep it"
        )
    if not (formats.is_table(url) or is_clip(url)):
        raise InputError(
            f"{url}: of a store only tables and clips are read, by their suffixes; it is not searched: give a table, "
            "or a local list, of URLs"
        )


def is_clip(path: str) -> bool:
    """Whether ``path``'s suffix is that of a clip."""
    return PurePath(path).suffix.lower() in _CLIP_SUFFIXES


def _is_parquet(path: str) -> bool:
    return formats.is_table(path) and formats.of_path(path, "input").kind == "parquet"


def is_group(path: str) -> bool:
    """Whether ``path`` is a folder or a pattern."""
    return Path(path).is_dir() or (glob.has_magic(path) and not Path(path).exists())


def list_files(path: str) -> Iterator[str]:
    """The files in a folder and below it, or those that match a pattern; no hidden ones."""
    if Path(path).is_dir():
        yield from _walk(path)
        return
    for match in sorted(glob.iglob(path, recursive=True)):  # noqa: PTH207  a pattern may be absolute
        if Path(match).is_dir() and "**" not in path:  # with ** its files match, too
            yield from _walk(match)
        elif Path(match).is_file():
            yield match


def _walk(folder: str) -> Iterator[str]:
    """Files first, then the folders below; only the names in one folder at a time are held. Links are not entered."""
    files, folders = [], []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if not entry.name.startswith("."):
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.name)
                    elif entry.is_file():
                        files.append(entry.name)
    except OSError as error:
        raise InputError(f"the folder {folder} cannot be read: {error.strerror}") from error
    yield from (os.path.join(folder, name) for name in sorted(files))  # noqa: PTH118  pathlib would drop ./
    for name in sorted(folders):
        yield from _walk(os.path.join(folder, name))  # noqa: PTH118


def _read_list(path: str) -> Iterator[str]:
    """The lines of a text file that are not blank."""
    try:
        with Path(path).open("rb") as raw, io.TextIOWrapper(raw, "utf-8-sig") as file:
            content = identify(raw.peek(HEAD_BYTES)[:HEAD_BYTES])
            if content not in {None, Content.TEXT}:
                raise InputError(f"the list {path} is {content}, where one path a line belongs: check the path")
            yield from filter(None, (line.strip("\r\n") for line in file))
    except UnicodeDecodeError:
        raise InputError(
            f"the list {path} is not UTF-8: write it again as UTF-8, for example with iconv -f WINDOWS-1252 -t UTF-8 "
            "OLD > NEW"
        ) from None


def _as_array(paths: list[str]) -> pa.Array:
    try:
        return pa.array(paths, pa.string())
    except UnicodeEncodeError as error:
        raise InputError(f"{error.object!a} is not a name in UTF-8, which a table cannot hold: rename it") from None


def _relative(path: str, root: str) -> str:
    """``path`` as a row has it that is read with ``--root``: relative to that folder, or absolute where outside it."""
    if not root:
        return path
    whole, folder = os.path.abspath(path), os.path.abspath(root)  # noqa: PTH100  pathlib keeps ".."
    return os.path.relpath(whole, folder) if whole.startswith(folder.rstrip(os.sep) + os.sep) else whole


def _describe_files(files: Iterable[str]) -> str:
    """Why nothing was taken from a folder that has ``files``."""
    counts = Counter(PurePath(path).suffix.lower() or "no suffix" for path in files)
    if not counts:
        return "there are no files here"
    shown = ", ".join(f"{suffix} ({count})" for suffix, count in counts.most_common(_SHOWN_SUFFIXES))
    more = " and others" if len(counts) > _SHOWN_SUFFIXES else ""
    return (
        f"there are no clips here, nor Parquet files; the files have the suffixes {shown}{more}, clips one such as .mp4"
    )
