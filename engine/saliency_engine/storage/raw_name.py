"""What the name of a headerless video file says of its frames, such as ``D_480x272_25fps_10bit_420.yuv``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePath

_SIZE = re.compile(r"(?<![a-z0-9])(\d{2,5})x(\d{2,5})(?:[pi]\d*)?(?![a-z0-9])")
_DEPTH = re.compile(r"(?<![a-z0-9])(8|9|10|12|14|16)[-_ .]?b(?:its?|pp|pc)?(?![a-z0-9])")
_CHROMA = re.compile(r"(?<![a-z0-9])(400|420|422|444)(?:[-_ .](8|10|12|14|16))?(?![a-z0-9])")
_FORMAT = re.compile(
    r"(?<![a-z0-9])(?:(?P<layout>yuvj?4\d\d)p?(?P<depth>(?<=p)(?:9|10|12|14|16))?(?:le|be)?"
    r"|gray(?:9|10|12|14|16)?(?:le|be)?|nv\d\d|[py]\d\d\d(?:le|be)|yuyv422|uyvy422)(?![a-z0-9])"
)
_OF_16 = ("rgb48", "bgr48", "rgba64", "bgra64", "ayuv64")


@dataclass(frozen=True, slots=True)
class RawName:
    """What a name says; nothing where it says nothing, or two things."""

    size: tuple[int, int] | None
    """Width and height in pixels."""
    depths: frozenset[int]
    """Bits of a sample; more than one where the name contradicts itself."""
    pixel_format: str
    """FFmpeg's name of it."""


def read_raw_name(path: str) -> RawName:
    """What the name of the file at ``path`` says."""
    name = PurePath(path).stem.lower()
    sizes = {(int(width), int(height)) for width, height in _SIZE.findall(name)}
    depths = {int(depth) for depth in _DEPTH.findall(name)}
    chromas = set()
    if sizes or depths:  # else 420 may be any number
        for chroma, depth in _CHROMA.findall(name):
            chromas.add(chroma)
            depths |= {int(depth)} if depth else set()
    whole = ""
    if match := _FORMAT.search(name):
        whole, layout = match[0], match["layout"]
        if layout and not match["depth"]:  # the depth may stand elsewhere in the name
            chromas, whole = {layout[-3:]}, ""
        else:
            depths |= {depth_of(whole)}
            whole += "le" if depth_of(whole) > 8 and not whole.endswith(("le", "be")) else ""
    pixel_format = whole
    if not whole and len(depths) < 2 and len(chromas) < 2 and (depths or chromas):
        chroma, depth = next(iter(chromas), "420"), next(iter(depths), 8)
        base = "gray" if chroma == "400" else f"yuv{chroma}p"
        pixel_format = base if depth == 8 else f"{base}{depth}le"
    return RawName(sizes.pop() if len(sizes) == 1 else None, frozenset(depths), pixel_format)


def depth_of(pixel_format: str) -> int:
    """Bits of a sample in FFmpeg's ``pixel_format``."""
    if pixel_format.startswith("nv"):
        return 10 if pixel_format.startswith("nv20") else 8
    if pixel_format.startswith(_OF_16):
        return 16
    match = re.search(r"(9|10|12|14|16)(?:le|be)?$", pixel_format)
    return int(match[1]) if match else 8
