"""Whether a file's header says all that matters, so that FFmpeg need decode nothing when it opens the file.

By itself FFmpeg decodes the first picture of every stream whose header lacks the pixel format, and of H.264 some more,
to see how far they are reordered. None of them reaches us. That is a fifth to a quarter of what eight head frames take
(docs/performance.md).
"""

from __future__ import annotations

import os

from av.container import InputContainer
from av.video.stream import VideoStream

from saliency_engine.video.dolby_vision import is_configured
from saliency_engine.video.h264_headers import states_reordering
from saliency_engine.video.headers import is_movie, read_header

_FIRST_BOXES = frozenset({b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"})  # ISO/IEC 14496-12 §4.2
_EBML = b"\x1a\x45\xdf\xa3"  # RFC 8794 §11.2.1
_NEVER_REORDERED = frozenset({"vp8", "vp9", "prores"})
_LONGEST_PACKET = 1 << 24  # bytes that are looked at


def demuxer_of(fd: int) -> str:
    """FFmpeg's demuxer of MP4 and MOV or of Matroska and WebM, if the file begins like one of these; else empty."""
    first = os.pread(fd, 8, 0)
    return "mov" if first[4:] in _FIRST_BOXES else "matroska" if first.startswith(_EBML) else ""


def says_all(container: InputContainer, fd: int) -> bool:
    """Whether decoding the one video stream of ``container``, which was opened without, gives the same as always.

    What FFmpeg finds out by decoding, and decoders do not find out themselves, is how many pictures of H.264 are held
    back; it matters unless the stream states it. Colours matter where they are those of Dolby Vision.
    """
    if len(container.streams.video) != 1:  # which one is best depends on what was decoded
        return False
    (stream,) = container.streams.video
    context = stream.codec_context
    form = container.format.name
    if context is None or not context.width or is_configured(read_header(fd, form)):
        return False
    name = context.codec.canonical_name
    if name in _NEVER_REORDERED:
        return True
    # Matroska has no times of decoding: FFmpeg makes them up from what it has found out.
    stated = name == "h264" and is_movie(form)
    return stated and states_reordering(context.extradata or b"", _read_first(stream, fd))


def _read_first(stream: VideoStream, fd: int) -> bytes:
    """The first packet of ``stream``; empty where the header does not say where it is."""
    entries = stream.index_entries
    return os.pread(fd, min(entries[0].size, _LONGEST_PACKET), entries[0].pos) if len(entries) else b""
