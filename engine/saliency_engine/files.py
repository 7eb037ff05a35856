"""Files that appear together and whole, or not at all."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from tempfile import mkstemp

from saliency_engine.errors import OutputError


def write_together(contents: Mapping[Path, bytes]) -> None:
    """Write every file or none: all are complete on disk before the first gets its name.

    Raises ``OutputError``; files that this call had put in place are then gone again.
    """
    waiting: list[tuple[Path, Path]] = []
    placed: list[Path] = []
    try:
        for path, content in contents.items():
            waiting.append((_stage(path, content), path))
        for partial, path in waiting:
            partial.replace(path)
            placed.append(path)
    except BaseException as error:
        for path in [*placed, *(partial for partial, _ in waiting)]:
            path.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise OutputError(f"cannot write {error.filename}: {error.strerror or error}") from error
        raise


def _stage(path: Path, content: bytes) -> Path:
    try:
        handle, name = mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        Path(name).chmod(0o666 & ~umask)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return Path(name)
