"""What shows that a clip is encrypted. FFmpeg then decodes noise, or nothing, without a word of it."""

from __future__ import annotations

import os

from av import Packet
from av.container import InputContainer
from av.video.stream import VideoStream

from saliency_engine.errors import DecodeError
from saliency_engine.video.headers import is_movie, read_entries

_ENTRIES = (b"encv", b"drmi")  # sample entries of Common Encryption (ISO/IEC 23001-7) and of FairPlay
_LOOKED_AT = 1 << 20  # bytes of a transport stream


def is_encrypted(header: bytes, container: InputContainer) -> bool:
    """Whether a file's ``header`` says that a video may be encrypted; single packets of an MP4 may still be plain.

    Raises ``DecodeError`` where none can be plain (WebM, Matroska).
    """
    if any("enc_key_id" in stream.metadata for stream in container.streams.video):
        raise refusal()
    # The quick look spares almost every file the walk.
    if not is_movie(container.format.name) or not any(kind in header for kind in _ENTRIES):
        return False
    entries = (entry for stream in container.streams.video for entry in read_entries(header, stream.id))
    return any(kind in _ENTRIES for kind, _, _ in entries)


def check_packet(packet: Packet[VideoStream]) -> None:
    """Raise ``DecodeError`` where FFmpeg says with which key a packet is encrypted."""
    if packet.has_sidedata("encryption_info"):
        raise refusal()


def check_transport(fd: int, container: str) -> None:
    """Raise ``DecodeError`` where a transport stream is scrambled. The position of ``fd`` is left alone.

    Receivers often leave the mark where they have descrambled, so it counts only where nothing can be decoded.
    """
    start = os.pread(fd, _LOOKED_AT, 0) if container == "mpegts" else b""
    for size, first in (
        (188, 0),
        (192, 4),
        (204, 0),
    ):  # of packets; M2TS has a time before each, others a checksum behind
        heads = [start[at : at + 4] for at in range(first, len(start) - 3, size)]
        # ISO/IEC 13818-1 §2.4.3.2: a byte to synchronise with, …, two bits of transport_scrambling_control.
        if all(head[0] == 0x47 for head in heads) and any(head[3] & 0xC0 for head in heads):
            raise refusal()


def refusal() -> DecodeError:
    """The error of an encrypted clip."""
    return DecodeError(
        "the clip is encrypted: decrypt it first, with its key (of an MP4, ffmpeg -decryption_key KEY -i OLD -c copy "
        "NEW makes a plain copy)"
    )
