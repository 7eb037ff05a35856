"""From what a row says of its clip to the file on disk, or to the reason why there is none."""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from saliency_engine.config import RunConfig
from saliency_engine.errors import ClipError, ConfigError, DecodeError, MissingGeometryError, MissingSourceError
from saliency_engine.storage.overwrite import GONE, Files
from saliency_engine.storage.raw_name import RawName, depth_of, read_raw_name
from saliency_engine.storage.regular_file import open_regular
from saliency_engine.storage.remote_clips import RemoteClips
from saliency_engine.storage.urls import is_remote, is_url, name_in, refusal_of
from saliency_engine.types import ClipReference, ClipRequest, RawFormat

RAW_SUFFIX = ".yuv"


class Locator:
    """Finds the files that rows name, under one run's options.

    ``files`` are the other files of the command. ``note`` is given a sentence the first time that a file's name says
    how its raw video is read, and for each other way in which one is. Raises ``ConfigError`` where ``config.root`` is
    no folder.
    """

    def __init__(
        self, config: RunConfig, files: Files | None = None, note: Callable[[str], None] = lambda _: None
    ) -> None:
        self._files, self._note, self._noted = files or Files(), note, set[str]()
        self._suffixes = config.path_suffix or ("",)
        self._is_made = bool(config.clip_template or config.path_suffix)
        self._remote = RemoteClips(config) if config.allow_remote else None
        self._root = Path(config.root)
        with contextlib.suppress(FileNotFoundError):  # there may be no current folder; absolute paths do not need one
            self._root = self._root.absolute()
            if config.root and not self._root.is_dir() and not (self._remote and is_remote(config.root)):
                raise ConfigError(f"--root {config.root}: there is no folder {self._root}")
        self._confine = config.confined_to
        self._default_size = (config.default_width, config.default_height)
        self._pixel_format = config.yuv_pixel_format
        self._verify = config.verify_clips
        self._path_column = config.path_column

    def locate(self, clip: ClipReference) -> ClipRequest:
        """The clip that ``clip`` names, as it is on disk now: of the suffixes, the first with which there is a file.

        Raises ``MissingSourceError`` when the path is empty, names no regular file or one that ``--confine`` refuses,
        ``MissingGeometryError`` when it is raw video whose size neither row nor defaults nor name give, ``DecodeError``
        when the name contradicts them. Raises ``ConfigError`` when it is a file that the command is going to write.
        """
        if not clip.path:
            raise MissingSourceError(
                clip.problem or f"column {self._path_column!r} has no path in this row: write the clip's path there"
            )
        suffixes = ("",) if clip.whole else self._suffixes
        if self._remote and (urls := self._remote.urls_of(clip.path, suffixes)):
            return self._locate_remote(clip, self._remote, urls)
        path, status = self._find_file(clip.path, suffixes)
        if not stat.S_ISREG(status.st_mode):
            raise MissingSourceError(f"not a regular file: {path}")
        self._files.reads_clip(path, status)
        raw = self._find_raw(clip, path, path)
        return ClipRequest(path, status.st_size, status.st_mtime_ns, raw, self._hash(path) if self._verify else "")

    def foresee(self, clips: Iterable[ClipReference]) -> None:
        """Begin to ask for those of ``clips`` that are remote, many at a time; they are to be located soon."""
        if self._remote:
            self._remote.foresee(clip.path + ("" if clip.whole else self._suffixes[0]) for clip in clips)

    def _locate_remote(self, clip: ClipReference, remote: RemoteClips, urls: Sequence[str]) -> ClipRequest:
        path, file = remote.find(urls)
        raw = self._find_raw(clip, name_in(file.url), path)
        return ClipRequest(path, file.size, file.mtime_ns, raw, remote=file)

    def _find_raw(self, clip: ClipReference, name: str, path: str) -> RawFormat | None:
        """The layout of the clip at ``path`` where its ``name`` is one of raw video."""
        if not name.lower().endswith(RAW_SUFFIX):
            return None
        try:
            return self._raw_format(clip, name, path)
        except ClipError as error:
            raise type(error)(self.mention(str(error), path)) from error

    def mention(self, reason: str, path: str) -> str:
        """``reason`` with ``path``, where the row has it not as it is, and the reason does not say it already."""
        return f"{reason} ({path})" if self._is_made and path not in reason else reason

    def _find_file(self, path: str, suffixes: Sequence[str]) -> tuple[str, os.stat_result]:
        tried: list[str] = []
        for suffix in suffixes:
            real = ""
            try:
                real = os.path.realpath(self._root / (path + suffix))
                tried.append(real)
                if self._confine and not Path(real).is_relative_to(self._confine):
                    raise MissingSourceError(
                        self.mention("the path leads outside --root, which --confine forbids", path + suffix)
                    )
                return real, Path(real).stat()
            except FileNotFoundError:
                continue
            except (OSError, ValueError) as error:
                raise MissingSourceError(self.mention(_explain(error, real or path), path + suffix)) from error
        if not tried:
            raise MissingSourceError(f"the path starts from the current folder, {GONE}")
        if is_url(path):
            raise MissingSourceError(self.mention(refusal_of(path), path))
        raise MissingSourceError(f"no such file: {', '.join(tried)}")

    def _raw_format(self, clip: ClipReference, file_name: str, path: str) -> RawFormat:
        name = read_raw_name(file_name)
        width, height = clip.width or self._default_size[0], clip.height or self._default_size[1]
        if name.size and width in {0, name.size[0]} and height in {0, name.size[1]}:
            width, height = name.size
        if not width or not height:
            raise MissingGeometryError(
                "raw video needs a width and a height: in the row (--width-column, --height-column), by "
                "--default-width and --default-height, or in the file's name, as in a_1920x1080.yuv"
            )
        given = clip.pixel_format or self._pixel_format
        depths = " and ".join(map(str, sorted(name.depths)))
        if given and name.depths and name.depths != {depth_of(given)}:
            option = "--pix-fmt-column" if clip.pixel_format else "--yuv-pixel-format"
            raise DecodeError(
                f"the file's name says {depths} bits a sample, but {option} says {given}, which has {depth_of(given)}: "
                "correct one of them"
            )
        if len(name.depths) > 1:
            raise DecodeError(f"the file's name says {depths} bits a sample: rename the file")
        pixel_format = given or name.pixel_format or "yuv420p"
        is_named = bool(name.size) and not (clip.width or clip.height or any(self._default_size))
        if is_named or (name.pixel_format and not given):
            sources = self._describe_sources(clip, name, is_named=is_named)
            if sources not in self._noted:
                self._noted.add(sources)
                self._note(f"{path} is read as {width}x{height} {pixel_format}{sources}. So are others like it")
        return RawFormat(width, height, pixel_format)

    def _describe_sources(self, clip: ClipReference, name: RawName, *, is_named: bool) -> str:
        """What says the size and the pixel format of a raw clip, one of them its name."""
        size = "its name" if is_named else "its row or an option"
        if clip.pixel_format or self._pixel_format:
            form = "its row" if clip.pixel_format else "--yuv-pixel-format"
            return f": {size} says the size, and {form} the pixel format"
        if name.depths:
            return ", as its name says" if is_named else f": {size} says the size, and its name the pixel format"
        no_depth = "but no bit depth" if is_named else "and its name no bit depth"
        return f": {size} says the size, {no_depth}, so it is read as 8 bits; if that is wrong, give --yuv-pixel-format"

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
    if isinstance(error, ValueError) and "\0" in path:  # Python's own words differ by version
        return "the clip cannot be reached: its path holds a null character"
    return f"the clip cannot be reached: {getattr(error, 'strerror', None) or error}"
