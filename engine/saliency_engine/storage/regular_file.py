"""Opening a regular file, and nothing that has taken its place; on request only below a folder."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from saliency_engine.errors import DecodeError
from saliency_engine.types import ClipRequest


def open_clip(request: ClipRequest, confine: str) -> int:
    """A descriptor for reading a clip; whoever gets it closes it. See ``open_regular`` and ``remote.open_remote``."""
    if request.remote:
        from saliency_engine.storage.remote import open_remote  # noqa: PLC0415  not loaded where nothing is remote

        return open_remote(request)
    return open_regular(request.path, confine)


def open_regular(path: str, confine: str = "") -> int:
    """A descriptor for reading the regular file at ``path``; whoever gets it closes it.

    ``path`` is absolute with links resolved; with ``confine``, a folder in the same form, the file is opened from
    there, folder by folder, and through no link that may have appeared since. Raises ``OSError``, or ``DecodeError``
    for anything but a regular file in its place.
    """
    if not stat.S_ISREG(Path(path).stat().st_mode):  # before it is opened: opening a device can do things
        raise DecodeError("not a regular file")
    # It may be something else by now. Opening a FIFO that nobody writes to would wait without O_NONBLOCK.
    flags = os.O_RDONLY | os.O_NONBLOCK
    fd = _open_beneath(confine, path, flags) if confine else os.open(path, flags)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise DecodeError("not a regular file")
    return fd


def _open_beneath(root: str, path: str, flags: int) -> int:
    folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        *folders, name = Path(path).relative_to(root).parts
        for part in folders:
            if part == os.pardir:
                raise DecodeError("cannot be opened beneath --root: the path leads out of it")
            inner = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
            os.close(folder)
            folder = inner
        return os.open(name, flags | os.O_NOFOLLOW, dir_fd=folder)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DecodeError(f"cannot be opened beneath --root: {reason}") from error
    finally:
        os.close(folder)
