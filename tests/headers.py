"""Boxes and elements put into the headers of MP4, MOV and Matroska files by hand."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path


def elements(data: bytes | bytearray, start: int, end: int) -> Iterator[tuple[bytes, int, int, int]]:
    """ID of each EBML element, and where its size, its contents and the next element begin."""
    while start < end:
        size = start + 9 - data[start].bit_length()
        content = size + 9 - data[size].bit_length()
        length = int.from_bytes(data[size:content], "big") & (1 << 7 * (content - size)) - 1
        yield bytes(data[start:size]), size, content, content + length
        start = content + length


def with_element(source: Path, extra: bytes, *, track: int = 0, in_video: bool = False) -> Path:
    """A copy of a Matroska file with ``extra`` in its ``track``-th entry of a video, or in that one's Video element."""
    data = bytearray(source.read_bytes())
    segment = next(element for element in elements(data, 0, len(data)) if element[0] == b"\x18\x53\x80\x67")
    inside = {kind: place for kind, *place in elements(data, *segment[2:])}
    entries = [place for kind, *place in elements(data, *inside[b"\x16\x54\xae\x6b"][1:]) if kind == b"\xae"]
    videos = [(entry, place) for entry in entries for kind, *place in elements(data, *entry[1:]) if kind == b"\xe0"]
    entry, element = videos[track]
    void = inside[b"\xec"]  # it shrinks by as much, so that what follows the tracks stays where it is
    growing = [*([element] if in_video else []), entry, inside[b"\x16\x54\xae\x6b"]]
    for (size, content, _), more in (*((place, 1) for place in growing), (void, -1)):
        number = int.from_bytes(data[size:content], "big") + more * len(extra)
        data[size:content] = number.to_bytes(content - size, "big")
    data[element[2] : element[2]] = extra
    del data[void[1] : void[1] + len(extra)]
    return _write(source, data)


def with_box(source: Path, box: bytes) -> Path:
    """A copy of an MP4 or MOV file (``moov`` last, the video first) with ``box`` in its sample entry."""
    data = bytearray(source.read_bytes())
    at = data.rindex(b"moov") - 4
    for name in (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd"):
        at = data.index(name, at) - 4
        data[at : at + 4] = (int.from_bytes(data[at : at + 4], "big") + len(box)).to_bytes(4)
    entry = at + 16
    size = int.from_bytes(data[entry : entry + 4], "big")
    data[entry : entry + 4] = struct.pack(">I", size + len(box))
    data[entry + size : entry + size] = box
    return _write(source, data)


def _write(source: Path, data: bytes | bytearray) -> Path:
    target = source.with_name(f"{sha256(data).hexdigest()[:16]}{source.suffix}")
    target.write_bytes(data)
    return target
