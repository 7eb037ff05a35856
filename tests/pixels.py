"""Frames of every pixel format, poisoned wherever no sample lies, and FFmpeg's own reading of their samples.

Run as a module with a poison (0 to 255, or -1 for noise), it prints what pictures of them are painted as.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import functools
import hashlib
import json
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.format import names  # type: ignore[attr-defined]
from numpy.typing import NDArray

from saliency_engine.errors import DecodeError
from saliency_engine.video.picture import Picture, Scaler

SIZES = [(64, 48), (37, 23), (17, 9), (3, 5), (1, 1)]
FORMATS = sorted(name for name in names if av.VideoFormat(name, 16, 16).components)
"""All but those whose samples lie on a graphics card."""
Codes = NDArray[Any]


class _Part(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_int) for name in ("plane", "step", "offset", "shift", "depth"))


class _Descriptor(ctypes.Structure):
    """FFmpeg's AVPixFmtDescriptor."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("parts", ctypes.c_uint8),
        ("log2_chroma_w", ctypes.c_uint8),
        ("log2_chroma_h", ctypes.c_uint8),
        ("flags", ctypes.c_uint64),
        ("part", _Part * 4),
    )


@functools.cache
def avutil() -> Any:
    """FFmpeg's libavutil, the one that PyAV brings."""
    beside = sorted(Path(av.__file__).parent.with_name("av.libs").glob("libavutil*"))
    library = ctypes.CDLL(str(beside[0]) if beside else ctypes.util.find_library("avutil"))
    library.av_pix_fmt_desc_get.restype = ctypes.POINTER(_Descriptor)
    return library


def _descriptor(name: str) -> Any:
    return avutil().av_pix_fmt_desc_get(avutil().av_get_pix_fmt(name.encode()))


def _pointers(frame: av.VideoFrame) -> tuple[Any, Any]:
    planes = list(frame.planes)
    data = (ctypes.c_void_p * 4)(*[plane.buffer_ptr for plane in planes])
    return data, (ctypes.c_int * 4)(*[plane.line_size for plane in planes])


def read_codes(frame: av.VideoFrame) -> list[Codes]:
    """The components but alpha, in FFmpeg's order (R, G, B; Y, Cb, Cr), as FFmpeg reads them, at their own sizes.

    Of a palette, the colours. Floats are given as their bits. Not for Bayer mosaics.
    """
    data, lines = _pointers(frame)
    codes = []
    for index, part in enumerate(frame.format.components):
        if part.is_alpha:
            continue
        rows = np.zeros((part.height, part.width), np.uint32)
        for y, row in enumerate(rows):
            avutil().av_read_image_line2(
                row.ctypes.data_as(ctypes.c_void_p), data, lines, _descriptor(frame.format.name), 0, y, index,
                part.width, 0, 4,
            )  # fmt: skip
        codes.append(rows)
    if frame.format.name == "pal8":
        colours = np.frombuffer(memoryview(frame.planes[1]), np.uint32)[codes[0]]
        return [colours >> 16 & 255, colours >> 8 & 255, colours & 255]
    return codes


def _bits_that_count(name: str, width: int, height: int) -> list[NDArray[np.uint8]]:
    """For each plane's bytes, the bits that hold samples (alpha is none): all ones written by FFmpeg into zeros."""
    frame = av.VideoFrame(width, height, name)
    planes = [np.frombuffer(memoryview(plane), np.uint8) for plane in frame.planes]
    for plane in planes:
        plane[:] = 0
    if frame.format.is_bayer or name == "uyyvyy411":  # FFmpeg's own description of these is of no use
        line = -(-width // 4) * 6 if name == "uyyvyy411" else width if name.endswith("8") else 2 * width
        planes[0].reshape(height, -1)[:, :line] = 255
        return planes
    data, lines = _pointers(frame)
    for index, part in enumerate(frame.format.components):
        if not part.is_alpha:
            ones = np.full(part.width, (1 << part.bits) - 1, np.uint32)
            for y in range(part.height):
                avutil().av_write_image_line2(
                    ones.ctypes.data_as(ctypes.c_void_p), data, lines, _descriptor(name), 0, y, index, part.width, 4
                )
    if name == "pal8":
        planes[1].view(np.uint32)[:] = 0x00FFFFFF
    return planes


def noise(name: str, width: int, height: int, poison: int = 0) -> av.VideoFrame:
    """A frame of samples that are always the same; all else in its memory is ``poison`` (0..255, -1: noise)."""
    counts = _bits_that_count(name, width, height)
    frame = av.VideoFrame(width, height, name)
    descriptor = _descriptor(name).contents
    # Where samples are the low bits of their words, the others are zeros in every frame.
    low = 8 < descriptor.part[0].depth < 16 and not any(part.shift for part in descriptor.part)
    random = np.random.default_rng(1)
    for plane, mask in zip(frame.planes, counts, strict=True):
        samples = random.integers(0, 256, mask.size, np.uint8)
        waste = np.random.default_rng().integers(0, 256, mask.size, np.uint8) if poison < 0 else np.uint8(poison)
        taken = (mask.view(np.uint16) > 0).repeat(2) * np.uint8(255) if low else mask
        np.frombuffer(memoryview(plane), np.uint8)[:] = samples & mask | waste & ~taken
    return frame


def filtered(frame: av.VideoFrame, name: str, arguments: str = "") -> av.VideoFrame | None:
    """What an FFmpeg filter makes of a frame; ``None`` where it does not take its format."""
    graph = av.filter.Graph()
    source = graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1, 25))
    middle, sink = graph.add(name, arguments), graph.add("buffersink")
    source.link_to(middle)
    middle.link_to(sink)
    frame.pts = 0
    try:
        graph.configure()
        graph.push(frame)
        result = graph.pull()
    except NotImplementedError:
        return None
    assert isinstance(result, av.VideoFrame)
    result.color_range, result.colorspace = frame.color_range, frame.colorspace  # filters call gray full range
    return result if result.format.name == frame.format.name else None


def outcomes(frame: av.VideoFrame) -> Iterator[NDArray[Any]]:
    """All that a run takes from a frame: painted at its own size, smaller, larger; and its luma."""
    scaler = Scaler()
    picture = Picture.of(frame, "auto")
    for width, height in ((frame.width, frame.height), (16, 12), (71, 50)):
        out = np.empty((3, height, width), np.uint16)
        picture.paint(scaler, out)
        yield out
    yield np.ascontiguousarray(picture.luma()[:, : frame.width])


def main() -> None:
    digests = {}
    for name in FORMATS:
        for size in SIZES:
            try:
                parts = outcomes(noise(name, *size, int(sys.argv[1])))
                digest = hashlib.sha256(b"".join(part.tobytes() for part in parts)).hexdigest()
            except DecodeError as error:
                digest = str(error)
            digests[f"{name} {size}"] = digest
    print(json.dumps(digests))


if __name__ == "__main__":
    main()
