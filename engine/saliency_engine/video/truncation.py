"""Whether a file ends where its container says, which shows whether a clip was cut off.

FFmpeg reads a cut file up to the cut and reports a good end. Containers write down sizes that show the difference. They
are read here, in place, a few bytes each. Where a container writes down no size, a cut cannot be seen.
"""

from __future__ import annotations

import os
from dataclasses import dataclass


@dataclass(frozen=True)
class Packets:
    """What is known of a clip's video packets once all of them were read."""

    count: int
    indexed: int
    """How many the container's own index lists; 0 where it has none."""
    end: int | None
    """Where the last packet ends in the file, in bytes; ``None`` where that is unknown."""
    torn: bool
    """The last packet came incomplete."""


def find_cut(fd: int, container: str, packets: Packets) -> str:
    """What shows that the file of ``fd`` is cut off; empty where nothing does.

    ``container`` is FFmpeg's name of the format. The position of ``fd`` is left alone.
    """
    size = os.fstat(fd).st_size
    reason = ""
    if container.startswith("mov"):
        reason = _check_boxes(fd, size)
    elif container.startswith("matroska"):
        reason = _check_segment(fd, size)
    elif container == "avi":
        reason = _check_movie_list(fd, size)
    elif container == "mpegts":
        reason = _check_last_packet(fd, size)
    elif container == "yuv4mpegpipe" and packets.end is not None and packets.end < size:
        reason = f"{size - packets.end} bytes after its last whole frame"
    if not reason and packets.torn:
        reason = "its last frame is incomplete"
    if not reason and packets.count < packets.indexed:
        reason = f"it holds {packets.count} of the {packets.indexed} frames in its index"
    return reason


def _check_boxes(fd: int, size: int) -> str:
    """MP4 and MOV: a chain of boxes, each of which gives its length (ISO/IEC 14496-12 §4.2)."""
    at, fragmented = 0, False
    while at + 8 <= size:
        head = os.pread(fd, 16, at)
        length, kind = int.from_bytes(head[:4], "big"), head[4:8]
        if length == 1:
            length = int.from_bytes(head[8:16], "big")
        fragmented |= kind == b"moof"
        if length < 8:  # 0 is a box up to the end of the file; 2 to 7 cannot be
            return ""
        # A cut in anything else, such as padding or tags at the end, costs no frame.
        if kind in (b"moov", b"moof", b"mdat") and at + length > size:
            return f"{at + length - size} bytes of its {kind.decode()} box are missing"
        at += length
    return "it ends inside the head of a box" if fragmented and at < size else ""


def _check_segment(fd: int, size: int) -> str:
    """Matroska and WebM: an EBML header, then one Segment with all the rest (RFC 8794 §4, RFC 9559 §4.5)."""
    head = os.pread(fd, 4096, 0)
    header, start = _read_ebml_size(head, 4)
    at = start + (header or 0)
    if head[:4] != b"\x1a\x45\xdf\xa3" or head[at : at + 4] != b"\x18\x53\x80\x67":
        return ""
    length, start = _read_ebml_size(head, at + 4)
    lacking = 0 if length is None else start + length - size  # None: a live stream, of unknown length
    return f"{lacking} bytes of its segment are missing" if lacking > 0 else ""


def _read_ebml_size(data: bytes, at: int) -> tuple[int | None, int]:
    """The variable-length size at ``at`` (``None``: unknown) and where it ends."""
    first = data[at] if at < len(data) else 0
    width = 9 - first.bit_length()
    if width > 8:
        return None, at
    value = int.from_bytes(data[at : at + width], "big") & (1 << 7 * width) - 1
    return (None if value == (1 << 7 * width) - 1 else value), at + width


def _check_movie_list(fd: int, size: int) -> str:
    """AVI: RIFF chunks of chunks; the frames are in the lists named ``movi``."""
    at, inside = 0, False
    while at + 12 <= size:
        head = os.pread(fd, 12, at)
        length, kind, form = int.from_bytes(head[4:8], "little"), head[:4], head[8:]
        if kind == b"RIFF":
            at += 12  # its chunks follow, and after them perhaps another RIFF
            inside = True
            continue
        if not inside or not kind.isascii():
            return ""
        lacking = at + 8 + length - size
        # Unfinished recordings have 0 or the largest number for a length that was never filled in.
        if kind == b"LIST" and form == b"movi" and lacking > 0 and length < 0xFFFFFF00:
            return f"{lacking} bytes of its movi list are missing"
        at += 8 + length + length % 2
    return ""


def _check_last_packet(fd: int, size: int) -> str:
    """MPEG-TS: packets of 188 bytes that begin with 0x47 (ISO/IEC 13818-1 §2.4.3), perhaps 16 bytes more behind each.

    A recording may begin anywhere, so only the end is looked at.
    """
    tail = os.pread(fd, 204, max(size - 204, 0))
    whole = len(tail) == 204 and 0x47 in (tail[0], tail[-188])
    return "" if whole else "it ends inside a transport packet"
