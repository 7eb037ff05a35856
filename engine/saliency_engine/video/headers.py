"""What stands in the headers of MP4, MOV and Matroska beyond what PyAV hands over; read in place, never followed."""

from __future__ import annotations

import os
from collections.abc import Iterator

from av.video.stream import VideoStream

_LONGEST = 1 << 24  # bytes of a header that are looked at; four hours of frames take 6 million
SAMPLE_ENTRY = 86  # bytes of a video sample entry before the boxes in it (ISO/IEC 14496-12 §12.1.3)
_SEGMENT, _TRACKS, _TRACK = b"\x18\x53\x80\x67", b"\x16\x54\xae\x6b", b"\xae"
_TRACK_TYPE, _CODEC = b"\x83", b"\x86"


def read_header(fd: int, container: str) -> bytes:
    """What is in the ``moov`` box of MP4 and MOV, or the Tracks of Matroska; empty for another container.

    ``container`` is FFmpeg's name of the format. The position of ``fd`` is left alone.
    """
    if is_movie(container):
        return _read_movie(fd)
    return _read_tracks(fd) if container.startswith("matroska") else b""


def is_movie(container: str) -> bool:
    """Whether the header is that of MP4 or MOV, and not of Matroska."""
    return container.startswith("mov")


def _read_movie(fd: int) -> bytes:
    at, end = 0, os.fstat(fd).st_size
    while at < end:
        kind, content, until = next(read_boxes(os.pread(fd, 16, at), 0, end - at), (b"moov", 0, 0))
        if kind == b"moov":
            return os.pread(fd, min(until - content, _LONGEST), at + content)
        at += until
    return b""


def _read_tracks(fd: int) -> bytes:
    """Matroska's Tracks element in its segment (RFC 9559 §5.1.4)."""
    at, end = 0, os.fstat(fd).st_size
    while at < end:
        kind, content, until = next(read_elements(os.pread(fd, 12, at), 0, end - at), (_TRACKS, 0, 0))
        if kind == _TRACKS:
            return os.pread(fd, min(until - content, _LONGEST), at + content)
        at += content if kind == _SEGMENT else until
    return b""


def read_entries(movie: bytes, track: int) -> Iterator[tuple[bytes, int, int]]:
    """Kind, begin and end of the contents of each sample entry of the track with that ID (§8.5.2)."""
    for trak in find_boxes(movie, 0, len(movie), b"trak"):
        at = next(find_boxes(movie, *trak, b"tkhd"), trak)[0]
        number = movie[at + 20 : at + 24] if movie[at : at + 1] == b"\1" else movie[at + 12 : at + 16]
        if int.from_bytes(number, "big") == track:
            for start, end in find_boxes(movie, *trak, b"mdia", b"minf", b"stbl", b"stsd"):
                yield from read_boxes(movie, start + 8, end)
            return


def find_boxes(data: bytes, start: int, end: int, kind: bytes, *inside: bytes) -> Iterator[tuple[int, int]]:
    """Where the contents of the boxes of that kind begin and end, or those of the kinds ``inside`` them."""
    for other, at, until in read_boxes(data, start, end):
        if other == kind:
            if inside:
                yield from find_boxes(data, at, until, *inside)
            else:
                yield at, until


def read_boxes(data: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Kind, begin and end of the contents of each box from ``start`` on (ISO/IEC 14496-12 §4.2)."""
    while start + 8 <= end:
        length, kind, content = int.from_bytes(data[start : start + 4], "big"), data[start + 4 : start + 8], start + 8
        if length == 1:
            length, content = int.from_bytes(data[start + 8 : start + 16], "big"), start + 16
        elif length == 0:  # up to the end
            length = end - start
        if length < content - start:
            return
        yield kind, content, min(start + length, end)
        start += length


def read_track(tracks: bytes, stream: VideoStream) -> dict[bytes, list[bytes]]:
    """The contents of the elements of ``stream``'s entry in Matroska's Tracks, by their IDs; empty if not there."""
    videos = [other.index for other in stream.container.streams.video]
    return dict(zip(videos, _list_videos(tracks), strict=False)).get(stream.index, {})


def _list_videos(tracks: bytes) -> Iterator[dict[bytes, list[bytes]]]:
    """Of each video track, in FFmpeg's order of streams."""
    for track, start, end in read_elements(tracks, 0, len(tracks)):
        fields = contents_of(tracks[start:end]) if track == _TRACK else {}
        kind, codec = (fields.get(name, [b""])[-1] for name in (_TRACK_TYPE, _CODEC))
        if int.from_bytes(kind, "big") == 1 and codec[:1] == b"V":
            yield fields


def contents_of(element: bytes) -> dict[bytes, list[bytes]]:
    """The contents of the EBML elements in ``element``, by their IDs."""
    contents: dict[bytes, list[bytes]] = {}
    for kind, at, until in read_elements(element, 0, len(element)):
        contents.setdefault(kind, []).append(element[at:until])
    return contents


def read_elements(data: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """ID, begin and end of the contents of each EBML element from ``start`` on (RFC 8794 §4 to §6)."""
    while start < min(end, len(data)):
        width = 9 - data[start].bit_length()  # of the ID
        size_width = 9 - data[start + width].bit_length() if start + width < len(data) else 9
        content = start + width + size_width
        if width > 4 or size_width > 8 or content > end:
            return
        size = int.from_bytes(data[start + width : content], "big") & (1 << 7 * size_width) - 1
        if size == (1 << 7 * size_width) - 1:  # unknown: up to the end
            size = end - content
        yield data[start : start + width], content, min(content + size, end)
        start = content + size
