"""A folder of fetched files that stays below a size, shared by all processes of a user.

A file is named by what it holds and never changes. Whoever uses one keeps a shared ``flock`` on its descriptor, whoever
writes one an exclusive lock on its ``.partial``; both end with their process, however that ends. Locks are taken and
changed, and files named and removed, by the process that holds the lock on the folder, which it does for a moment. A
partial file has the size of the whole one from the start, so that what is fetched at a time is counted as well.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

_PARTIAL = ".partial"
_LOOK_EVERY = 0.05  # seconds


@dataclass(frozen=True, slots=True)
class Claim:
    """A file of the cache that nobody removes before ``fd`` is closed."""

    fd: int
    """For reading and writing, at the file's start."""
    is_whole: bool
    """Else it is to be filled, then ``Cache.publish`` ed or ``Cache.abandon`` ed."""

    def write(self, part: bytes, place: int) -> None:
        """Write all of ``part`` at ``place``; a disk that is full takes some of it before it raises ``OSError``."""
        left = memoryview(part)
        while left:
            written = os.pwrite(self.fd, left, place)
            left, place = left[written:], place + written


class Cache:
    """The cache in ``folder``, which is made where there is none, of at most ``limit`` bytes. Raises ``OSError``."""

    def __init__(self, folder: Path, limit: int) -> None:
        self._folder, self._limit = folder, limit
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def claim(self, name: str, size: int) -> Claim:
        """The file ``name`` of ``size`` bytes, no more than the limit; room for it is made of what nobody uses.

        Waits while another process fetches it, or while all the room is in use.
        """
        path = self._folder / name
        while True:
            with self._locked():
                if claim := self._claim_whole(path) or self._claim_partial(path, size):
                    return claim
            time.sleep(_LOOK_EVERY)

    def _claim_whole(self, path: Path) -> Claim | None:
        with ExitStack() as failed:
            if (fd := _lock(path, os.O_RDWR, fcntl.LOCK_SH)) is None:
                return None
            failed.callback(os.close, fd)
            os.utime(fd)  # the files that were used last stay longest
            failed.pop_all()
            return Claim(fd, is_whole=True)

    def _claim_partial(self, path: Path, size: int) -> Claim | None:
        with ExitStack() as failed:
            if (fd := _lock(_partial(path), os.O_RDWR | os.O_CREAT, fcntl.LOCK_EX)) is None:
                return None
            failed.callback(os.close, fd)  # else who claims it next would wait for this process's end
            failed.callback(_partial(path).unlink)
            if not self._make_room(size, _partial(path)):
                return None
            os.ftruncate(fd, 0)
            os.ftruncate(fd, size)
            failed.pop_all()
            return Claim(fd, is_whole=False)

    def publish(self, name: str, claim: Claim) -> None:
        """Give a file that has been filled its name. It stays claimed."""
        # Else a power failure could leave a file of the right size with zeros in it.
        os.fsync(claim.fd)
        with self._locked():
            _partial(self._folder / name).rename(self._folder / name)
            fcntl.flock(claim.fd, fcntl.LOCK_SH)
        os.lseek(claim.fd, 0, os.SEEK_SET)

    def abandon(self, name: str, claim: Claim) -> None:
        """Remove a file that could not be filled."""
        with _closing(claim.fd), self._locked():
            _partial(self._folder / name).unlink(missing_ok=True)

    def _make_room(self, size: int, own: Path) -> bool:
        files = []
        with os.scandir(self._folder) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):
                    if entry.is_file(follow_symlinks=False) and entry.path != str(own):
                        files.append((entry.stat().st_mtime_ns, entry.stat().st_size, Path(entry.path)))
        total = sum(held for _, held, _ in files)
        for _, held, path in sorted(files):
            if total + size <= self._limit:
                break
            if (fd := _lock(path, os.O_RDWR, fcntl.LOCK_EX)) is not None:
                with _closing(fd):
                    path.unlink()
                total -= held
        return total + size <= self._limit

    @contextmanager
    def _locked(self) -> Iterator[None]:
        fd = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        with _closing(fd):
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield


def cache_home() -> Path | None:
    """The folder for what can be made again, by the XDG specification; ``None`` where there is no home."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if cache.is_absolute():  # the specification says to ignore relative paths
        return cache / "saliency-batch"
    try:
        return Path.home() / ".cache" / "saliency-batch"
    except RuntimeError:
        return None


@contextmanager
def _closing(fd: int) -> Iterator[None]:
    try:
        yield
    finally:
        os.close(fd)


def _partial(path: Path) -> Path:
    return path.with_name(path.name + _PARTIAL)


def _lock(path: Path, flags: int, lock: int) -> int | None:
    """A descriptor of the file at ``path`` with ``lock``; ``None`` where there is no file, or another has it locked."""
    try:
        fd = os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(fd, lock | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return None
    except BaseException:
        os.close(fd)
        raise
    return fd
