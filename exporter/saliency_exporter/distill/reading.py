"""Reads clips and pictures as frames of 8 bits."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from saliency_engine.config import BUILT_IN_MODEL, RunConfig
from saliency_engine.errors import DecodeError, MissingSourceError
from saliency_engine.samplings import Uniform
from saliency_engine.storage.locate import Locator
from saliency_engine.storage.overwrite import Files
from saliency_engine.types import DecodeSpec
from saliency_engine.video.decode import decode_frames
from saliency_exporter.distill.listing import Listed

PER_CLIP = 8
"""Frames that are taken of a clip, evenly over it."""
Pictures = NDArray[np.uint8]
"""R'G'B' of 8 bits, ``[n, 3, H, W]``."""


class Reader:
    """Reads what is listed; ``size`` are the height and width that frames get, ``files`` those of the command."""

    def __init__(self, size: tuple[int, int], files: Files) -> None:
        self._size = size
        self._locator = Locator(RunConfig(model=BUILT_IN_MODEL), files)
        self._spec = DecodeSpec(size[1], size[0], Uniform(PER_CLIP), color="auto", accept_short=True)

    def hash(self, listed: Listed) -> str:
        """The sha256 of its file. Raises ``ClipError``, and ``ConfigError`` where the command would write that file."""
        try:
            with Path(self._locator.locate(listed.clip).path).open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise MissingSourceError(f"it cannot be read: {error.strerror or error}") from error

    def read(self, listed: Listed) -> Pictures:
        """Its frames; raises as ``hash`` does."""
        located = self._locator.locate(listed.clip)
        if listed.is_picture:
            return _read_picture(Path(located.path), self._size)
        pictures, _ = decode_frames(located, self._spec)
        return ((pictures.astype(np.uint32) + 128) // 257).astype(np.uint8)


def _read_picture(path: Path, size: tuple[int, int]) -> Pictures:
    try:
        with Image.open(path) as picture:
            upright = ImageOps.exif_transpose(picture.convert("RGB"))
            scaled = upright.resize(size[::-1], Image.Resampling.BILINEAR, reducing_gap=3.0)
    # SyntaxError and the others are what Pillow has for broken files of some formats.
    except (OSError, SyntaxError, ValueError, EOFError, IndexError, Image.DecompressionBombError) as error:
        raise DecodeError(f"the picture cannot be read: {getattr(error, 'strerror', None) or error}") from error
    return np.moveaxis(np.asarray(scaled), -1, 0)[np.newaxis]
