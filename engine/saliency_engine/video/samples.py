"""The samples of a frame of any pixel format, taken apart into planes with numpy.

libswscale has no part in this. It leaves a part of deep RGB with alpha unwritten (gbrap10 to gbrap16: what memory held
before stays in the picture), it ends the process for gray floats with alpha and for Bayer mosaics of one pixel, and it
refuses some twenty formats. What is written here writes every sample, and what it does not know is an error.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from av import VideoFrame
from av.video.format import VideoFormat
from numpy.typing import NDArray

from saliency_engine.video import bayer
from saliency_engine.video.color import Plane

Samples = NDArray[Any]
"""``[height, width]`` of one component, as the format stores it or already as the layout has it."""

_SUBSAMPLINGS = {(0, 0): "444", (1, 0): "422", (1, 1): "420", (0, 1): "440", (2, 0): "411", (2, 2): "410"}
_PLANAR = re.compile(r"yuv[aj]?4\d\dp(9|\d\d(msb)?)?|gbra?p(9|\d\d(msb)?|f\d\d)?|gray(9|\d\d|f\d\d)?")
# Chroma samples lie side by side in the second plane.
_SEMIPLANAR = re.compile(r"nv(12|16|20|21|24|42)|p[024]1[026]")
# Whole words, in the order in which they lie in memory. The letters: red, green, blue; y, u (Cb), v (Cr), as FFmpeg
# has them; alpha, padding (0); X, Y and Z of XYZ.
_WORDS = {
    **{name: name for name in ("rgba", "bgra", "argb", "abgr", "rgb0", "bgr0", "0rgb", "0bgr")},
    **{f"{name}{bits}": name for name in ("rgb", "bgr") for bits in ("24", "48")},
    **{f"{name}{bits}": name for name in ("rgba", "bgra") for bits in ("64", "128")},
    **{f"{name}{bits}": name for name in ("rgb", "rgba") for bits in ("96", "f16", "f32")},
    **{f"ya{bits}": "ya" for bits in ("8", "16", "f16", "f32")},
    **{name: name for name in ("ayuv", "vuya", "uyva")},
    "ayuv64": "ayuv",
    "vuyx": "vuy0",
    "vyu444": "vyu",
    "xv36": "uyv0",
    "xv48": "uyv0",
    "xyz12": "XYZ",
    "yuyv422": "yuyv",
    "yvyu422": "yvyu",
    "uyvy422": "uyvy",
    "uyyvyy411": "uyyvyy",
    **dict.fromkeys(("y210", "y212", "y216"), "yuyv"),
}
# Several samples in one word of so many bytes: letters and bits, the highest bits first.
_FIELDS = {
    "rgb565": (2, "r5g6b5"),
    "rgb555": (2, "01r5g5b5"),
    "rgb444": (2, "04r4g4b4"),
    "rgb8": (1, "r3g3b2"),
    "bgr565": (2, "b5g6r5"),
    "bgr555": (2, "01b5g5r5"),
    "bgr444": (2, "04b4g4r4"),
    "bgr8": (1, "b2g3r3"),
    "rgb4_byte": (1, "04r1g2b1"),
    "bgr4_byte": (1, "04b1g2r1"),
    "rgb4": (1, "r1g2b1"),
    "bgr4": (1, "b1g2r1"),
    "x2rgb10": (4, "02r10g10b10"),
    "x2bgr10": (4, "02b10g10r10"),
    "xv30": (4, "02v10y10u10"),
    "v30x": (4, "v10y10u1002"),
}
# Fewer than 16 bits, and they are the highest ones of their word.
_IN_HIGH_BITS = re.compile(r"p[024]1[02]|y21[02]|xv36|xyz12|.*msb")
_FLOAT = re.compile(r".*f(16|32)")
_LETTERS = {"ycbcr": "yuv", "gray": "y", "gbr": "gbr"}
_XYZ_TO_RGB = np.array(  # CIE XYZ to linear light with BT.709's primaries and white (IEC 61966-2-1)
    [[3.2404542, -1.5371385, -0.4985314], [-0.9692660, 1.8760108, 0.0415560], [0.0556434, -0.2040259, 1.0572252]],
    np.float32,
)


@dataclass(frozen=True, slots=True)
class Layout:
    """The planar form of a pixel format."""

    kind: str
    """``ycbcr``, ``gray`` or ``gbr``."""
    depth: int
    """8 to 16 bits."""
    shifts: tuple[int, int]
    """log2 of the chroma subsampling, horizontal and vertical."""
    name: str
    """FFmpeg's name of it."""

    @property
    def scaled_name(self) -> str:
        """As what it is resized: libswscale takes RGB through limited-range Y'CbCr, but leaves Y'CbCr planes alone."""
        return format_name("yuv444p", self.depth) if self.kind == "gbr" else self.name


def layout_of(frame: VideoFrame) -> Layout:
    """The planar layout that holds ``frame``'s samples unchanged (alpha dropped)."""
    pixel = frame.format
    bits = 8 * bayer.bytes_of(pixel.name) if pixel.is_bayer else max(part.bits for part in pixel.components)
    floats, xyz = _FLOAT.fullmatch(_stem(pixel.name)), pixel.name.startswith("xyz")
    depth = 16 if xyz else min(max(bits, 8), 16)
    # Float and 32-bit formats, one-bit ones and XYZ have no Y'CbCr range, so they are treated as RGB.
    if pixel.is_rgb or pixel.has_palette or pixel.name in ("monow", "monob") or floats or xyz or bits > 16:
        return Layout("gbr", depth, (0, 0), format_name("gbrp", depth))
    if len(pixel.components) < 3:
        return Layout("gray", depth, (31, 31), format_name("gray", depth))
    shifts = (8 - pixel.chroma_width(256).bit_length() + 1, 8 - pixel.chroma_height(256).bit_length() + 1)
    return Layout("ycbcr", depth, shifts, format_name(f"yuv{_SUBSAMPLINGS[shifts]}p", depth))


def format_name(name: str, depth: int) -> str:
    """FFmpeg's name of the planar format ``name`` with ``depth`` bits."""
    return name if depth == 8 else f"{name}{depth}le"


def _stem(name: str) -> str:
    return name[:-2] if name.endswith(("le", "be")) else name


def planes_of(frame: VideoFrame) -> list[Plane]:
    """The samples of a planar frame, without a copy: uint8 or uint16 ``[rows, line]`` per plane."""
    word = "u1" if frame.format.components[0].bits <= 8 else "<u2"
    planes = []
    for index, plane in enumerate(frame.planes):
        words = _read_plane(frame, index, word)
        # The kernels want lines one after the other, from top to bottom.
        planes.append(words if words.flags.c_contiguous else np.ascontiguousarray(words[:, : plane.width]))
    return planes


def _read_plane(frame: VideoFrame, index: int, word: str) -> Samples:
    """One plane's words, top line first, the padding at the ends of the lines included."""
    plane = frame.planes[index]
    rows = np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, abs(plane.line_size))
    size = np.dtype(word).itemsize
    words = rows[:, : rows.shape[1] // size * size].view(word)
    return words if plane.line_size > 0 else words[::-1]  # where it is negative, the picture is stored bottom up


def unpack(frame: VideoFrame, layout: Layout) -> VideoFrame:
    """The same samples in ``layout``, ready to be resized; ``frame`` itself where it has that layout already.

    Raises ``ValueError`` for a format that is not known here.
    """
    if frame.format.name.replace("yuvj", "yuv") == layout.name:
        return frame
    samples = dict(_take_apart(frame))
    planar = VideoFrame(frame.width, frame.height, layout.scaled_name)
    for letter, target, plane in zip(_LETTERS[layout.kind], planes_of(planar), planar.planes, strict=True):
        target[:, : plane.width] = samples[letter if letter in samples else "y"]
    return planar


def _take_apart(frame: VideoFrame) -> Iterator[tuple[str, Samples]]:
    """The components by their letters, as the layout has them: integers of its depth, alpha left out."""
    pixel = frame.format
    stem, width = _stem(pixel.name), frame.width
    if stem == "pal8":
        colours = np.frombuffer(memoryview(frame.planes[1]), np.uint32)  # alpha, red, green, blue, highest bits first
        indices = _read_plane(frame, 0, "u1")[:, :width]
        for letter, shift in zip("rgb", (16, 8, 0), strict=True):
            table = (colours >> shift & 255).astype(np.uint8).tobytes()
            # 5 times as fast as indexing the table with an array.
            yield letter, np.frombuffer(indices.tobytes().translate(table), np.uint8).reshape(indices.shape)
    elif stem in ("monow", "monob"):
        ones = np.unpackbits(_read_plane(frame, 0, "u1"), axis=1)[:, :width]
        yield "y", (ones if stem == "monob" else 1 - ones) * np.uint8(255)
    elif pixel.is_bayer:
        mosaic = _read_plane(frame, 0, _word(pixel, bayer.bytes_of(stem)))[:, :width]
        yield from bayer.interpolate(mosaic, stem[6:10]).items()
    elif stem in _FIELDS:
        yield from _read_fields(frame, *_FIELDS[stem])
    elif stem == "xyz12":
        yield from zip("rgb", _xyz_to_rgb(dict(_read_words(frame))), strict=True)
    else:
        yield from _read_words(frame)


def _word(pixel: VideoFormat, size: int) -> str:
    return f"{'>' if pixel.is_big_endian else '<'}u{size}"


def _read_words(frame: VideoFrame) -> Iterator[tuple[str, Samples]]:
    """The components of a format each of whose samples is a word of its own."""
    pixel = frame.format
    stem, bits = _stem(pixel.name), max(part.bits for part in pixel.components)
    word = _word(pixel, 1 if bits <= 8 else 2 if bits <= 16 else 4)
    is_float = _FLOAT.fullmatch(stem)
    for index, order in enumerate(_orders(pixel, stem)):
        rows = _read_plane(frame, index, word.replace("u", "f") if is_float else word)
        rows = rows[:, : rows.shape[1] // len(order) * len(order)]
        for letter in dict.fromkeys(order.replace("a", "").replace("0", "")):
            places = [place for place, other in enumerate(order) if other == letter]
            samples = rows[:, places[0] :: len(order)]
            if len(places) > 1:  # luma of packed 4:2:2 and 4:1:1
                samples = np.stack([rows[:, place :: len(order)] for place in places], -1).reshape(len(rows), -1)
            samples = samples[:, : pixel.components["yuv".find(letter)].width if letter in "uv" else frame.width]
            shift = max(bits - 16, 16 - bits if _IN_HIGH_BITS.fullmatch(stem) else 0)
            yield letter, _quantize(samples) if is_float else samples >> shift if shift else samples


def _orders(pixel: VideoFormat, stem: str) -> list[str]:
    """For each plane, the letters of its words; none for a plane of alpha."""
    if stem in _WORDS:
        return [_WORDS[stem]]
    if not _PLANAR.fullmatch(stem) and not _SEMIPLANAR.fullmatch(stem):
        raise ValueError(stem)
    orders = ["", "", ""]
    for letter, part in zip("rgb" if pixel.is_rgb else "yuv", pixel.components, strict=False):
        orders[part.plane] += letter
    if stem in ("nv21", "nv42"):
        orders[1] = "vu"
    return [order for order in orders if order]


def _read_fields(frame: VideoFrame, size: int, fields: str) -> Iterator[tuple[str, Samples]]:
    words = _read_plane(frame, 0, _word(frame.format, size))
    if frame.format.name in ("rgb4", "bgr4"):  # two pixels a byte
        words = np.stack((words >> 4, words & 15), -1).reshape(len(words), -1)
    words = words[:, : frame.width]
    shift = 0
    for letter, bits in reversed([(field[0], int(field[1])) for field in re.findall(r"([a-z0])(1?\d)", fields)]):
        top = (1 << bits) - 1
        samples = words >> shift & top
        if letter != "0":
            # Fewer than 8 bits become 8: top is white.
            yield letter, samples if bits > 8 else (samples * np.uint16(255) + top // 2) // top
        shift += bits


def _quantize(samples: Samples) -> Samples:
    """Floats in 0..1, black to white, as 16 bits. What is no number is black."""
    values = samples.astype(np.float32)
    values = np.where(values > 0, np.minimum(values, 1), 0)  # not fmax, which now and then lets NaN through
    return (values * np.float32(65535) + np.float32(0.5)).astype(np.uint16)


def _xyz_to_rgb(xyz: dict[str, Samples]) -> Samples:
    """X'Y'Z' of digital cinema (gamma 2.6) as R'G'B' (gamma 2.2, as FFmpeg has it), 16 bits ``[3, height, width]``."""
    light = np.linspace(0, 1, 4096, dtype=np.float32) ** np.float32(2.6)
    linear = np.tensordot(_XYZ_TO_RGB, np.stack([light[xyz[letter]] for letter in "XYZ"]), 1)
    # Black is 0 all the same; the power of 0 itself takes 8 times as long.
    return _quantize(np.clip(linear, 1e-12, 1) ** np.float32(1 / 2.2))
