"""How large frames may be: what is refused before any is decoded."""

from __future__ import annotations

import contextlib
from typing import Any

import av
from av import Codec, Packet

from saliency_engine.errors import DecodeError
from saliency_engine.types import RawFormat


def read_size(packet: Packet[Any], codec: Codec) -> tuple[int, int]:
    """Width and height in a packet's own headers, by FFmpeg's parser; zeros where they are not there."""
    if not packet.size:
        return 0, 0
    parser: Any = av.CodecContext.create(codec)
    with contextlib.suppress(av.FFmpegError, ValueError):
        parser.extradata = packet.stream.codec_context.extradata
        parser.parse(bytes(packet))
        parser.parse()
    return int(parser.width), int(parser.height)


def ffmpeg_limit(max_pixels: int) -> dict[str, str]:
    """FFmpeg's own limit. It acts before a frame is allocated, but counts the margins that codecs add."""
    return {"max_pixels": str(max_pixels + max_pixels // 16 + (1 << 16))}


def check_size(width: int, height: int, max_pixels: int) -> None:
    if width * height > max_pixels:
        raise DecodeError(f"frames of {width}×{height} pixels are refused: --max-pixels allows {max_pixels}")


def check_raw(raw: RawFormat, size: int, max_pixels: int) -> None:
    if raw.width < 1 or raw.height < 1:
        raise DecodeError(f"{raw.width}×{raw.height} is not a frame size; width and height must be at least 1")
    check_size(raw.width, raw.height, max_pixels)
    frame = frame_bytes(raw)
    if size == 0 or size % frame:
        what = f"{raw.width}×{raw.height} {raw.pixel_format} frames ({frame} bytes each)"
        raise DecodeError(f"{size} bytes are not a whole number of {what}; are size and pixel format right?")


def frame_bytes(raw: RawFormat) -> int:
    """Bytes of one frame of headerless video. Raises ``DecodeError`` for a pixel format that is unknown."""
    try:
        pixel = av.VideoFormat(raw.pixel_format, raw.width, raw.height)
    except ValueError as error:
        raise DecodeError(f"unknown pixel format {raw.pixel_format!r}") from error
    parts = pixel.components
    if not parts or pixel.has_palette or pixel.is_bit_stream:
        raise DecodeError(f"raw video of pixel format {raw.pixel_format} is not supported")
    if len({part.plane for part in parts}) > 1:
        return sum(part.width * part.height * -(-part.bits // 8) for part in parts)
    # Packed: the padded size of a pixel, lines of whole chroma samples.
    group = 256 // pixel.chroma_width(256)
    return -(-raw.width // group) * group * raw.height * pixel.padded_bits_per_pixel // 8
