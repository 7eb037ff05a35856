"""What every source of remote files can do, and how it fails."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class FileState:
    """A file as its source has it now."""

    size: int
    """In bytes."""
    etag: str
    """What the source calls this version of the file; empty where it has no such name."""
    mtime_ns: int
    """When it was changed, in nanoseconds since 1970; 0 where the source does not say."""


class TransferError(Exception):
    """A file cannot be looked up or fetched. It does not leave this room. ``again``: another try may help."""

    def __init__(self, reason: str, *, again: bool) -> None:
        super().__init__(reason)
        self.again = again


class GoneError(TransferError):
    """There is no such file."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason, again=False)


class Source(Protocol):
    """A kind of server. All of it may be called by several threads; nothing but ``TransferError`` is raised."""

    def look_up(self, url: str) -> FileState:
        """The file at ``url`` as it is now."""

    def read(self, url: str, size: int, start: int) -> Iterator[bytes]:
        """The bytes from ``start`` on of the file at ``url``, which has ``size`` of them."""
