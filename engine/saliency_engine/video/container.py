"""Opening a clip's file for decoding: that file and nothing else, whatever its name or its content says."""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import av
from av import Codec, Packet, VideoCodecContext, VideoFrame
from av.codec.context import Flags
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from saliency_engine.errors import DecodeError
from saliency_engine.facts import ProbeSpec
from saliency_engine.storage.contents import HEAD_BYTES, Content, identify
from saliency_engine.storage.regular_file import open_clip
from saliency_engine.types import ClipRequest, DecodeSpec, RawFormat
from saliency_engine.video import encryption
from saliency_engine.video.cropping import Crop, find_crop
from saliency_engine.video.dolby_vision import check_header
from saliency_engine.video.headers import read_header

# Demuxers that read one file and nothing else. An allow-list, because FFmpeg gains demuxers with every release:
# playlists (hls, dash, concat, imf), image sequences (image2 takes % in a name for a pattern), scripts (avs,
# lavfi), sdp/rtsp and capture devices all open other files or sockets, and the next one must not slip through.
_CONTAINERS = (
    "amv,apng,asf,av1,avi,bink,cavsvideo,dirac,dnxhd,dv,evc,flic,gif,gxf,h261,h263,h264,hevc,ivf,lxf,m4v,matroska,"
    "mjpeg,mov,mpegvideo,mxf,nut,nuv,obu,ogg,rm,smk,vc1,vc1test,vivo,vvc,yuv4mpegpipe"
)
# Containers whose streams show up only while FFmpeg probes. It opens decoders then that our options do not reach, so it
# would decode frames of any size.
_PROBED = "flv,kux,live_flv,mpeg,mpegts,nsv,roq,swf,wtv"
_PROBED_PACKETS = 64  # of all streams; it decodes up to 20 frames of H.264, to see how they are reordered
# Titles and other texts in a clip may be in any encoding. Up to PyAV 18 they failed a clip unless told otherwise; PyAV
# 19 keeps their bytes as surrogates, and no longer takes the argument.
_METADATA: dict[str, Any] = {"metadata_errors": "replace"} if int(av.__version__.split(".")[0]) < 19 else {}
_MAY_BE_VIDEO = (None, Content.VIDEO, Content.ONNX, Content.STREAM)
"""Contents of which FFmpeg knows more, and those by whose few first bytes a damaged clip may begin."""
_CURES = {
    Content.WEB_PAGE: ", probably a failed download: fetch the clip again",
    Content.LFS_POINTER: ": run git lfs pull",
}
_GENERATE_PTS = 1  # AVFMT_FLAG_GENPTS, on by default in PyAV: it invents times that B-frames in AVI contradict


@dataclass(frozen=True)
class OpenClip:
    """A clip's video stream, ready to be read from its start."""

    container: InputContainer
    stream: VideoStream
    fd: int
    """The file's descriptor; its position is the container's."""
    max_pixels: int
    accept_short: bool
    crop: Crop
    """What the container hides of each frame."""
    encrypted: bool
    """Whether the header says that packets are encrypted; some may still be plain."""
    codec: Codec
    """The stream's. Where its decoder cannot be started, the context has none left: PyAV 19 ends the process then."""

    def check_packet(self, packet: Packet[VideoStream]) -> None:
        """Raise ``DecodeError`` where a packet's own headers give a frame that is too large."""
        _check_size(*_read_size(packet, self.codec), self.max_pixels)

    def check_frame(self, frame: VideoFrame) -> None:
        """Raise ``DecodeError`` where a frame is too large."""
        _check_size(frame.width, frame.height, self.max_pixels)


@contextmanager
def opened(request: ClipRequest, spec: DecodeSpec | ProbeSpec) -> Iterator[OpenClip]:
    """Open a clip's video stream for decoding on one thread; closed again whatever happens.

    Raises ``DecodeError`` where the path is no regular file, or cannot be fetched, is no admitted container, holds no
    video or one whose colours are not those of a picture, or its frames are larger than ``spec.max_pixels``, if
    possible before any frame is decoded.
    """
    fd = open_clip(request, spec.confine)
    try:
        with _open_container(fd, request.raw, spec.max_pixels) as container:
            header = read_header(fd, container.format.name)
            encrypted = encryption.is_encrypted(header, container)
            try:
                yield _prepare(container, header, fd, spec, encrypted=encrypted)
            except DecodeError as error:
                if encrypted:
                    raise encryption.refusal() from error
                raise
    finally:
        os.close(fd)


def _prepare(
    container: InputContainer, header: bytes, fd: int, spec: DecodeSpec | ProbeSpec, *, encrypted: bool
) -> OpenClip:
    container.flags &= ~_GENERATE_PTS
    stream = _choose_stream(container)
    if not stream.codec_context.width:  # FFmpeg may have refused the size, and does not say which it was
        position = os.lseek(fd, 0, os.SEEK_CUR)  # the container's position, too
        _look_through(fd, spec.max_pixels)
        os.lseek(fd, position, os.SEEK_SET)
    _check_size(stream.codec_context.width, stream.codec_context.height, spec.max_pixels)
    stream.thread_type = "NONE"
    stream.codec_context.thread_count = 1
    # Else decoders cut columns off at the left only in whole blocks, so that hidden ones stay in the picture.
    stream.codec_context.flags |= Flags.unaligned
    stream.codec_context.flags |= Flags.copy_opaque  # else frames do not show which packets they came in
    stream.codec_context.options = _ffmpeg_limit(spec.max_pixels)
    if spec.color == "auto":
        check_header(header, container.format.name, stream)
    crop, codec = find_crop(header, container.format.name, stream), stream.codec_context.codec
    return OpenClip(container, stream, fd, spec.max_pixels, spec.accept_short, crop, encrypted, codec)


def _choose_stream(container: InputContainer) -> VideoStream:
    """The video stream that FFmpeg thinks best; another one where that is a cover picture or has no decoder."""
    best = container.streams.best("video")
    videos = [stream for stream in container.streams.video if Disposition.attached_pic not in stream.disposition]
    if not videos:
        raise DecodeError("the file holds no video stream")
    for stream in sorted(videos, key=lambda stream: stream is not best):
        if stream.codec_context is not None:
            return stream
    raise DecodeError("this FFmpeg has no decoder for the file's video codec")


def _open_container(fd: int, raw: RawFormat | None, max_pixels: int) -> InputContainer:
    limit = _ffmpeg_limit(max_pixels)
    if raw is not None:
        _check_raw(raw, os.fstat(fd).st_size, max_pixels)
        size = {"video_size": f"{raw.width}x{raw.height}", "pixel_format": raw.pixel_format}
        return _open_demuxer(fd, limit | size, "rawvideo")
    if os.fstat(fd).st_size == 0:
        raise DecodeError("the file is empty")
    try:
        try:
            return _open_demuxer(fd, limit | {"format_whitelist": _CONTAINERS})
        except av.error.ArgumentError:  # a container that is not in that list
            if _holds_motion_jpeg(fd):
                return _open_demuxer(fd, limit, "mjpeg")
            _look_through(fd, max_pixels)
            return _open_demuxer(fd, limit | {"format_whitelist": _PROBED})
    except (av.FFmpegError, ValueError) as error:
        is_container = isinstance(error, av.error.ArgumentError)
        reason = f"{explain(error)} (a container that is not read here)" if is_container else _look_at(fd, error)
        raise DecodeError(f"cannot be opened as video: {reason}") from error


def _look_at(fd: int, error: Exception) -> str:
    """What the file is, where its first bytes show that; else the words of ``error``, with which it was refused."""
    content = identify(os.pread(fd, HEAD_BYTES, 0))
    return f"it is {content}{_CURES.get(content, '')}" if content not in _MAY_BE_VIDEO else explain(error)


def _open_demuxer(fd: int, options: dict[str, str], form: str | None = None) -> InputContainer:
    os.lseek(fd, 0, os.SEEK_SET)
    # FFmpeg gets the descriptor and may use no other protocol. So it sees no name that it could misread, never looks at
    # the path again, and opens no other file or host, whatever a demuxer asks for.
    options = {"fd": str(fd), "protocol_whitelist": "fd"} | options
    container: InputContainer = av.open("fd:", "r", format=form, options=options, **_METADATA)
    return container


def _holds_motion_jpeg(fd: int) -> bool:
    """Whether JPEG pictures follow one another. FFmpeg's probe takes most such files for a still.

    A still may hold a second view or a preview behind the picture itself.
    """
    if os.pread(fd, 3, 0) != b"\xff\xd8\xff":
        return False
    with _open_demuxer(fd, {"codec_whitelist": "none"}, "mjpeg") as container:
        return len(list(itertools.islice((packet for packet in container.demux() if packet.size), 3))) == 3


def _look_through(fd: int, max_pixels: int) -> None:
    """Raise ``DecodeError`` where headers or parsers give frames that are too large. No decoder is let in."""
    with _open_demuxer(fd, {"format_whitelist": f"{_CONTAINERS},{_PROBED}", "codec_whitelist": "none"}) as container:
        for stream in container.streams.video:
            if stream.codec_context:
                _check_size(stream.codec_context.width, stream.codec_context.height, max_pixels)
        for packet in itertools.islice(container.demux(), _PROBED_PACKETS):
            context = packet.stream.codec_context
            if isinstance(context, VideoCodecContext):
                _check_size(*_read_size(packet, context.codec), max_pixels)


def _read_size(packet: Packet[Any], codec: Codec) -> tuple[int, int]:
    """Width and height in a packet's own headers, by FFmpeg's parser; zeros where they are not there."""
    if not packet.size:
        return 0, 0
    parser: Any = av.CodecContext.create(codec)
    with contextlib.suppress(av.FFmpegError, ValueError):
        parser.extradata = packet.stream.codec_context.extradata
        parser.parse(bytes(packet))
        parser.parse()
    return int(parser.width), int(parser.height)


def _ffmpeg_limit(max_pixels: int) -> dict[str, str]:
    """FFmpeg's own limit. It acts before a frame is allocated, but counts the margins that codecs add."""
    return {"max_pixels": str(max_pixels + max_pixels // 16 + (1 << 16))}


def _check_size(width: int, height: int, max_pixels: int) -> None:
    if width * height > max_pixels:
        raise DecodeError(f"frames of {width}×{height} pixels are refused: --max-pixels allows {max_pixels}")


def _check_raw(raw: RawFormat, size: int, max_pixels: int) -> None:
    if raw.width < 1 or raw.height < 1:
        raise DecodeError(f"{raw.width}×{raw.height} is not a frame size; width and height must be at least 1")
    _check_size(raw.width, raw.height, max_pixels)
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


def explain(error: Exception) -> str:
    """An error's own words, without numbers and file names."""
    if isinstance(error, UnicodeError):
        return "text that is not valid UTF-8"
    text = error.strerror if isinstance(error, (av.FFmpegError, OSError)) else str(error)
    return text or type(error).__name__
