"""Files and folders that appear whole, or not at all."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, Self

from saliency_engine.errors import OutputError

_begun: list[Path] = []
"""Files that are being made, and that nobody yet undoes; see ``must_not_stop``."""


def must_not_stop() -> bool:
    """Whether a signal that stops the command has to wait, for a moment: else a file would be left."""
    return bool(_begun)


class PartialFile:
    """The file ``<path>.partial``, under an exclusive lock, which becomes ``path`` by ``publish``. Links are followed.

    Its folder is made where there is none. Raises ``OSError``, or ``OutputError`` with the cause where ``path`` cannot
    be a file, or another run is writing it. ``release`` must follow, whatever happens, and so ``begin`` makes them;
    without ``publish`` it removes the partial file.
    """

    @classmethod
    def begin(cls, path: str, stack: ExitStack) -> Self:
        """The file for ``path``, which ``stack`` will release. No signal comes between the two."""
        _begun.append(Path(path))
        try:
            partial = cls(path)
            stack.callback(partial.release)
        finally:
            _begun.pop()
        return partial

    def __init__(self, path: str) -> None:
        self._path = Path(os.path.realpath(path))
        self._partial = self._path.with_name(self._path.name + ".partial")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"its folder {self._path.parent} cannot be made: {error.strerror or error}") from error
        if self._path.exists() and not self._path.is_file():
            raise OutputError("it is there already and is not a regular file: choose another path")
        self._published = False
        self._handle = self._lock()
        try:
            os.ftruncate(self._handle, 0)
        except OSError:
            self.release()
            raise

    def open(self) -> BinaryIO:
        """The file to write to; it shares the lock and may be closed before ``publish``."""
        return os.fdopen(os.dup(self._handle), "wb", buffering=1 << 20)

    def sync(self) -> None:
        """Bring what was written to the disk."""
        os.fsync(self._handle)

    def publish(self) -> None:
        """Give the file its name, on disk for good when this returns."""
        self.sync()
        self._partial.rename(self._path)
        self._published = True
        try:
            _sync_folder(self._path.parent)
        except OSError as error:
            raise OutputError(
                f"its folder cannot be flushed to the disk ({error.strerror}); the file is whole, but may not outlive "
                "a power failure"
            ) from error

    def withdraw(self) -> None:
        """Take the file away again, where it was published."""
        if self._published:
            self._path.unlink(missing_ok=True)

    def release(self) -> None:
        """Let go of the file; without ``publish`` it is removed."""
        try:
            if not self._published:
                self._partial.unlink(missing_ok=True)
        finally:
            os.close(self._handle)

    def _lock(self) -> int:
        while True:
            handle = os.open(self._partial, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o666)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.path.samestat(os.fstat(handle), self._partial.stat()):
                    return handle
            except BlockingIOError:
                os.close(handle)
                raise OutputError(f"another run is writing it ({self._partial} is locked)") from None
            except FileNotFoundError:
                pass
            except OSError:
                os.close(handle)
                raise
            os.close(handle)  # a run that ended in between renamed or removed the file we opened


def _sync_folder(path: Path) -> None:
    try:
        handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    except PermissionError:  # one may be allowed to write to a folder and not to read it
        return
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno != errno.EINVAL:  # some network filesystems cannot, and need not
            raise
    finally:
        os.close(handle)


def write_together(contents: Mapping[Path, bytes]) -> None:
    """Write every file or none: all are complete on disk before the first gets its name.

    Raises ``OutputError``; files that this call had put in place are then gone again.
    """
    with ExitStack() as stack, ExitStack() as placed:  # what is in ``placed`` is undone, unless all are in their places
        files = []
        for path, content in contents.items():
            with naming(path):
                partial = PartialFile.begin(str(path), stack)
                with partial.open() as file:
                    file.write(content)
                partial.sync()
            files.append((path, partial))
        for path, partial in files:
            placed.callback(partial.withdraw)
            with naming(path):
                partial.publish()
        placed.pop_all()


def check_output(path: str) -> None:
    """Raise ``OutputError`` where no file could be written to ``path`` now; an empty path is no file.

    Its folder is made where there is none.
    """
    if path:
        with naming(Path(path)), ExitStack() as stack:
            PartialFile.begin(path, stack)


def write_json(path: str, value: Mapping[str, Any]) -> None:
    """Write sorted, indented JSON with a final newline, whole or not at all. Raises ``OutputError``."""
    # Not with orjson, which refuses file names that are not UTF-8: a lone surrogate is written as an escape.
    text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    write_together({Path(path): text.encode("utf-8", "backslashreplace")})


def read_json(path: Path) -> Any:
    """What ``write_json`` wrote to ``path``; ``None`` where nothing is there, or it is no JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def write_quickly(path: Path, content: bytes) -> None:
    """Put a file in its place whole, but do not wait for the disk: after a power failure it may be empty.

    Its folder is made where there is none. Raises ``OutputError``.
    """
    with naming(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = _name_beside(path)
        try:
            partial.write_bytes(content)
            partial.rename(path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise


def write_folder(path: Path, contents: Mapping[str, bytes]) -> None:
    """Write a folder of files, by their names, whole or not at all. A folder that is there already is replaced.

    Raises ``OutputError``; what was at ``path`` is then there as before. What is under way has a name that begins
    with a dot.
    """
    fresh = _name_beside(path)
    try:
        with naming(path):
            fresh.mkdir(parents=True)
        write_together({fresh / name: content for name, content in contents.items()})
        with naming(path):
            _exchange_folders(fresh, path)
            _sync_folder(path.parent)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _exchange_folders(fresh: Path, path: Path) -> None:
    """Give ``fresh`` the name ``path``, and remove the folder that had it."""
    if not path.exists():
        fresh.rename(path)
        return
    aside = _name_beside(path)
    path.rename(aside)
    try:
        fresh.rename(path)
    except OSError:
        with suppress(OSError):
            aside.rename(path)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def _name_beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.urandom(4).hex()}")


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Turn what goes wrong while ``path`` is written into an ``OutputError`` that names it."""
    try:
        yield
    except OutputError as error:
        raise OutputError(f"{path}: {error}") from error
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error


def forget_buffered(file: BinaryIO) -> None:
    """Point a file that takes no more at ``/dev/null``: else the interpreter fails at exit on what it still holds."""
    with suppress(OSError, ValueError), Path(os.devnull).open("wb") as nothing:
        os.dup2(nothing.fileno(), file.fileno())
