"""One clip in, K upright R'G'B' frames of the model's size out: what a decode worker runs.

Nothing but ``DecodeError`` comes out of ``decode_clip`` when a clip is at fault, whatever the clip is.
"""

from __future__ import annotations

import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import numpy as np
from av.stream import Disposition
from numpy.typing import NDArray

from saliency_engine import color, sampling
from saliency_engine.errors import DecodeError
from saliency_engine.picture import Picture, Scaler
from saliency_engine.types import ClipRequest, DecodedClip, DecodeSpec, RawFormat

MAX_PIXELS = 8192 * 8192
"""Frames with more pixels are refused before FFmpeg allocates them; an 8K frame has half as many."""

# Demuxers that read one file and nothing else. An allow-list, because FFmpeg gains demuxers with every release:
# playlists (hls, dash, concat, imf), image sequences (image2 takes % in a name for a pattern), scripts (avs,
# lavfi), sdp/rtsp and capture devices all open other files or sockets, and the next one must not slip through.
_CONTAINERS = (
    "amv,apng,asf,av1,avi,bink,cavsvideo,dirac,dnxhd,dv,evc,flic,flv,gif,gxf,h261,h263,h264,hevc,ivf,kux,live_flv,lxf,"
    "m4v,matroska,mjpeg,mov,mpeg,mpegts,mpegvideo,mxf,nsv,nut,nuv,obu,ogg,rm,roq,smk,swf,vc1,vc1test,vivo,vvc,wtv,"
    "yuv4mpegpipe"
)
_GENERATE_PTS = 1  # AVFMT_FLAG_GENPTS, on by default in PyAV: it invents times that B-frames in AVI contradict


def silence() -> None:
    """Keep FFmpeg's messages away from Python; for a worker's initializer.

    PyAV's logging calls back into Python from FFmpeg's threads, which can deadlock.
    """
    av.logging.set_level(None)


def decode_clip(request: ClipRequest, spec: DecodeSpec, out: NDArray[np.uint16]) -> DecodedClip:
    """Decode the sampled frames of one clip into ``out``.

    ``out`` is ``[spec.slots, 3, spec.height, spec.width]`` uint16, C-contiguous; its first ``frames`` entries
    are written as 16-bit R'G'B' (gamma-coded, 65535 is white), the others are undefined. The motion is measured on
    luma code values scaled to 8 bits, whatever their range. Raises ``DecodeError`` with a reason for people.
    """
    started = time.perf_counter()
    try:
        motion = _decode(request, spec, out)
    except (av.FFmpegError, ValueError, OSError, MemoryError, OverflowError) as error:
        raise DecodeError(f"the clip cannot be decoded: {sampling.explain(error)}") from error
    if not motion:
        raise DecodeError("the file holds no frame that can be decoded")
    return DecodedClip(tuple(motion), time.perf_counter() - started)


def _decode(request: ClipRequest, spec: DecodeSpec, out: NDArray[np.uint16]) -> list[float]:
    scaler = Scaler()
    motion: list[float] = []
    previous: Picture | None = None
    for slot, frame in sampling.select(lambda: opened(request), spec):
        picture = Picture.of(frame, scaler, spec.color)
        picture.paint(scaler, out[slot])
        if slot == 0 or previous is None:
            motion = [0.0]
        else:
            motion.append(_motion(previous, picture, out[slot - 1], out[slot]))
        previous = picture
    return motion


def _motion(before: Picture, after: Picture, rgb_before: NDArray[np.uint16], rgb_after: NDArray[np.uint16]) -> float:
    """mean|Y_t − Y_(t−1)| / 255 at the clip's own size, or at the model's where size or format changed."""
    same = before.layout == after.layout and (before.frame.width, before.frame.height) == (
        after.frame.width,
        after.frame.height,
    )
    if not same:
        weights = np.array([0.2126, 0.7152, 0.0722], np.float32)
        return float(np.abs(np.tensordot(weights, rgb_after.astype(np.float32) - rgb_before, 1)).mean() / color.WHITE)
    width, height = after.frame.width, after.frame.height
    total = color.absolute_difference(before.luma(), after.luma(), width)
    return total / (width * height * 255 << after.layout.depth - 8)


@contextmanager
def opened(request: ClipRequest) -> Iterator[sampling.Opened]:
    """Open a clip's video stream for decoding on one thread; closed again whatever happens.

    Raises ``DecodeError`` where the path is no regular file, no admitted container, or holds no video.
    """
    status = Path(request.path).stat()
    if not stat.S_ISREG(status.st_mode):
        raise DecodeError("not a regular file")
    options = {"protocol_whitelist": "file", "format_whitelist": _CONTAINERS, "max_pixels": str(MAX_PIXELS)}
    form = None
    if request.raw is not None:
        _check_raw(request.raw, status.st_size)
        form = "rawvideo"
        size = f"{request.raw.width}x{request.raw.height}"
        options |= {"format_whitelist": form, "video_size": size, "pixel_format": request.raw.pixel_format}
    elif status.st_size == 0:
        raise DecodeError("the file is empty")
    try:
        # The prefix keeps a file named like a URL ("http:…", "concat:…") a file.
        container = av.open(f"file:{request.path}", "r", format=form, options=options, metadata_errors="replace")
    except (av.FFmpegError, ValueError) as error:
        hint = " (no container that is admitted here)" if isinstance(error, av.error.ArgumentError) else ""
        raise DecodeError(f"cannot be opened as video: {sampling.explain(error)}{hint}") from error
    with container:
        container.flags &= ~_GENERATE_PTS
        stream = container.streams.best("video")
        if not isinstance(stream, av.VideoStream) or Disposition.attached_pic in stream.disposition:
            raise DecodeError("the file holds no video stream")
        if stream.codec_context is None:
            raise DecodeError("the file's video codec has no decoder here")
        _check_size(stream.codec_context.width, stream.codec_context.height)
        stream.thread_type = "NONE"
        stream.codec_context.thread_count = 1
        stream.codec_context.options = {"max_pixels": str(MAX_PIXELS)}
        yield container, stream


def _check_size(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise DecodeError(f"frames of {width}×{height} pixels: more than {MAX_PIXELS} are refused")


def _check_raw(raw: RawFormat, size: int) -> None:
    if raw.width < 1 or raw.height < 1:
        raise DecodeError(f"{raw.width}×{raw.height} is no frame size")
    _check_size(raw.width, raw.height)
    frame = frame_bytes(raw)
    if size == 0 or size % frame:
        what = f"{raw.width}×{raw.height} {raw.pixel_format} frames ({frame} bytes each)"
        raise DecodeError(f"{size} bytes is not a whole number of {what}")


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
