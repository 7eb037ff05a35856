"""From what a row says of its clip to the file on disk, or to the reason why there is none."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

from saliency_engine.config import RunConfig
from saliency_engine.errors import MissingGeometryError, MissingSourceError
from saliency_engine.storage.overwrite import Files
from saliency_engine.storage.regular_file import open_regular
from saliency_engine.types import ClipReference, ClipRequest, RawFormat

RAW_SUFFIX = ".yuv"


class Locator:
    """Finds the files that rows name, under one run's options. ``files`` are the other files of the command."""

    def __init__(self, config: RunConfig, files: Files | None = None) -> None:
        self._files = files or Files()
        self._root = Path(config.root).absolute()
        self._confine = config.confined_to
        self._default_size = (config.default_width, config.default_height)
        self._pixel_format = config.yuv_pixel_format
        self._verify = config.verify_clips
        self._path_column = config.path_column

    def locate(self, clip: ClipReference) -> ClipRequest:
        """The clip that ``clip`` names, as it is on disk now.

        Raises ``MissingSourceError`` when the path is empty, names no regular file or one that ``--confine`` refuses,
        ``MissingGeometryError`` when it is raw video whose size neither row nor defaults give. Raises ``ConfigError``
        when it is a file that the command is going to write.
        """
        if not clip.path:
            raise MissingSourceError(
                f"column {self._path_column!r} has no path in this row: write the clip's path there"
            )
        path = ""
        try:
            path = os.path.realpath(self._root / clip.path)
            if self._confine and not Path(path).is_relative_to(self._confine):
                raise MissingSourceError("the path leads outside --root, which --confine forbids")
            status = Path(path).stat()
        except (OSError, ValueError) as error:
            raise MissingSourceError(_explain(error, path)) from error
        if not stat.S_ISREG(status.st_mode):
            raise MissingSourceError(f"not a regular file: {path}")
        self._files.reads_clip(path, status)
        raw = self._raw_format(clip) if path.lower().endswith(RAW_SUFFIX) else None
        return ClipRequest(path, status.st_size, status.st_mtime_ns, raw, self._hash(path) if self._verify else "")

    def _raw_format(self, clip: ClipReference) -> RawFormat:
        width, height = clip.width or self._default_size[0], clip.height or self._default_size[1]
        if not width or not height:
            raise MissingGeometryError(
                "raw video needs a width and a height: in the row (--width-column, --height-column), or by "
                "--default-width and --default-height"
            )
        return RawFormat(width, height, clip.pixel_format or self._pixel_format)

    def _hash(self, path: str) -> str:
        try:
            with os.fdopen(open_regular(path, self._confine), "rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise MissingSourceError(_explain(error, path)) from error


def _explain(error: OSError | ValueError, path: str) -> str:
    """Why the clip at ``path``, which is absolute, cannot be reached."""
    if isinstance(error, FileNotFoundError):
        return f"no such file: {path}"
    if isinstance(error, UnicodeEncodeError) and error.encoding != "utf-8":
        return f"file names here are in {error.encoding}, which lacks letters of this path: set PYTHONUTF8=1"
    return f"the clip cannot be reached: {getattr(error, 'strerror', None) or error}"
