"""Bring one file from a folder or a URL: whole or not at all, never more than its limit, resumed where it broke off."""

from __future__ import annotations

import fcntl
import http.client
import os
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, BinaryIO

from saliency_engine.errors import FetchError
from saliency_engine.storage.web import open_url

_CHUNK = 1 << 16
_TIMEOUT = 60.0


def bring_file(base: str, name: str, target: Path, limit: int) -> bool:
    """Put ``base``'s file ``name`` at ``target``; ``False``: it has none. ``base``: folder, ``file:`` or ``https:``.

    A ``target`` that is there already is kept. A download that broke off has left ``target.partial``, and goes on from
    there. Plain ``http:`` is for this machine alone. Raises ``FetchError`` when the file has more than ``limit`` bytes,
    breaks off, or cannot be read or written.
    """
    if target.is_file():
        return True
    partial = target.with_name(f"{target.name}.partial")
    try:
        url = urllib.parse.urlsplit(base)
        if url.scheme in {"http", "https"}:
            exists = _download(f"{base.rstrip('/')}/{urllib.parse.quote(name)}", partial, limit)
        elif url.scheme == "file" and url.netloc in {"", "localhost"}:
            exists = _copy_file(Path(urllib.request.url2pathname(url.path)) / name, partial, limit)
        elif url.scheme and not Path(base).is_dir():
            raise FetchError(f"cannot fetch from {base}: give an https: or file: URL, or a folder")
        else:
            exists = _copy_file(Path(base) / name, partial, limit)
        if exists:
            partial.replace(target)
    except (OSError, http.client.HTTPException, ValueError) as error:  # ValueError: what is no URL at all
        raise FetchError(f"cannot fetch {name} from {base}: {getattr(error, 'strerror', None) or error}") from error
    return exists


def _copy_file(source: Path, partial: Path, limit: int) -> bool:
    if not source.is_file():
        return False
    with source.open("rb") as file, partial.open("wb") as out:
        _copy_stream(file, out, limit, source.name)
    return True


def _download(url: str, partial: Path, limit: int) -> bool:
    have = partial.stat().st_size if partial.is_file() else 0
    try:
        response = open_url(url, {"Range": f"bytes={have}-"} if have else {}, _TIMEOUT)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code in {404, 410}:
            return False
        if error.code != 416 or not have:
            raise FetchError(f"cannot fetch {url}: the server answered {error.code} {error.reason}") from error
        partial.unlink()  # the server has no more than we have: another file, so from the start
        return _download(url, partial, limit)
    except urllib.error.URLError as error:
        raise FetchError(f"cannot fetch {url}: {error.reason}") from error
    with response:
        start, total = _read_extent(response, have)
        if total is not None and total > limit:
            raise FetchError(f"{url} has {total} bytes, more than the {limit} that are allowed")
        with partial.open("ab" if start else "wb") as out:
            out.truncate(start)
            try:
                _copy_stream(response, out, limit, url, start)
            except (OSError, http.client.HTTPException) as error:
                raise FetchError(_describe_break(url, out.tell(), total)) from error
            if total is not None and out.tell() < total:
                raise FetchError(_describe_break(url, out.tell(), total))
    return True


def _read_extent(response: Any, have: int) -> tuple[int, int | None]:
    """Where the body belongs in the file, and the file's length where the server says it."""
    if response.status == 206:
        extent = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", response.headers.get("Content-Range", ""))
        if extent is None or int(extent[1]) != have:
            raise FetchError(f"{response.url}: the server sent another part than the one asked for; try again")
        return have, int(extent[2])
    length = response.headers.get("Content-Length", "")
    return 0, int(length) if length.isdigit() else None


def _copy_stream(source: IO[bytes], out: BinaryIO, limit: int, name: str, have: int = 0) -> None:
    """Copy to the end and onto the disk. Raises ``FetchError`` beyond ``limit``; what was written is then emptied."""
    while chunk := source.read(min(_CHUNK, limit - have + 1)):
        have += len(chunk)
        if have > limit:
            out.truncate(0)
            raise FetchError(f"{name} is larger than the {limit} bytes that are allowed")
        out.write(chunk)
    out.flush()
    os.fsync(out.fileno())


def _describe_break(url: str, have: int, total: int | None) -> str:
    return f"{url} broke off after {have} of {total or 'unknown'} bytes; run the same command again to go on from there"


@contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Make ``folder``, and keep other processes from bringing files into it. Raises ``FetchError`` while one does."""
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise FetchError(f"another fetch is bringing files into {folder}: wait for it to end") from None
    finally:
        os.close(handle)
