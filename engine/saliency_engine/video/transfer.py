"""What a picture's code values stand for: their transfer function, and the bits of a sample."""

from __future__ import annotations

from typing import Protocol

from av import VideoFrame
from av.video.format import VideoFormat

from saliency_engine.facts import Signal
from saliency_engine.video import bayer

# H.273 TransferCharacteristics (FFmpeg's AVCOL_TRC_*): SMPTE ST 2084 and ARIB STD-B67.
_HDR = {16: "pq", 18: "hlg"}
TRANSFERS = ("sdr", *_HDR.values())
"""What ``transfer_of`` gives."""


class Tagged(Protocol):
    """A frame, or a stream's codec context."""

    @property
    def color_trc(self) -> int: ...


def transfer_of(picture: Tagged) -> str:
    """``pq`` or ``hlg`` where the tags of ``picture`` say so; ``sdr`` for every other transfer and for no tag."""
    return _HDR.get(int(picture.color_trc), "sdr")


def depth_of_format(pixel: VideoFormat) -> int:
    """Bits of a sample of ``pixel``, the most where its components differ: 10 for ``yuv420p10le``, 6 for ``rgb565``."""
    if pixel.is_bayer:
        return 8 * bayer.bytes_of(pixel.name)  # FFmpeg counts the colours' share of a pixel
    return max(part.bits for part in pixel.components)


def signal_of(frame: VideoFrame) -> Signal:
    """What the code values of ``frame`` are."""
    return Signal(transfer_of(frame), depth_of_format(frame.format))
