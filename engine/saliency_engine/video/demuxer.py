"""A clip's file as a container of FFmpeg's: that file and nothing else, whatever its name or its content says."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from typing import Any

import av
from av import Packet, VideoCodecContext
from av.container import InputContainer
from av.video.stream import VideoStream

from saliency_engine.errors import DecodeError
from saliency_engine.storage.contents import HEAD_BYTES, Content, identify
from saliency_engine.types import RawFormat
from saliency_engine.video.frame_sizes import check_raw, check_size, ffmpeg_limit, read_size
from saliency_engine.video.undecoded import demuxer_of, says_all

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


def open_container(fd: int, raw: RawFormat | None, max_pixels: int) -> InputContainer:
    limit = ffmpeg_limit(max_pixels)
    if raw is not None:
        check_raw(raw, os.fstat(fd).st_size, max_pixels)
        size = {"video_size": f"{raw.width}x{raw.height}", "pixel_format": raw.pixel_format}
        return _open_demuxer(fd, limit | size, "rawvideo")
    if os.fstat(fd).st_size == 0:
        raise DecodeError("the file is empty")
    if undecoded := _open_undecoded(fd, limit):
        return undecoded
    try:
        try:
            return _open_demuxer(fd, limit | {"format_whitelist": _CONTAINERS})
        except av.error.ArgumentError:  # a container that is not in that list
            if _holds_motion_jpeg(fd):
                return _open_demuxer(fd, limit, "mjpeg")
            look_through(fd, max_pixels)
            return _open_demuxer(fd, limit | {"format_whitelist": _PROBED})
    except (av.FFmpegError, ValueError) as error:
        is_container = isinstance(error, av.error.ArgumentError)
        reason = f"{explain(error)} (a container that is not read here)" if is_container else _look_at(fd, error)
        raise DecodeError(f"cannot be opened as video: {reason}") from error


def _open_undecoded(fd: int, limit: dict[str, str]) -> InputContainer | None:
    """The file opened without anything being decoded, where that makes no difference; else ``None``."""
    form = demuxer_of(fd)
    if not form:
        return None
    try:
        container = _open_demuxer(fd, limit | {"format_whitelist": form, "codec_whitelist": "none"})
    except (av.FFmpegError, ValueError):
        return None
    if says_all(container, fd):
        return container
    container.close()
    return None


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
        return len(list(itertools.islice((packet for packet in read_all(container) if packet.size), 3))) == 3


def look_through(fd: int, max_pixels: int) -> None:
    """Raise ``DecodeError`` where headers or parsers give frames that are too large. No decoder is let in."""
    with _open_demuxer(fd, {"format_whitelist": f"{_CONTAINERS},{_PROBED}", "codec_whitelist": "none"}) as container:
        for stream in container.streams.video:
            if stream.codec_context:
                check_size(stream.codec_context.width, stream.codec_context.height, max_pixels)
        for packet in itertools.islice(read_all(container), _PROBED_PACKETS):
            context = packet.stream.codec_context
            if isinstance(context, VideoCodecContext):
                check_size(*read_size(packet, context.codec), max_pixels)


def read_all(container: InputContainer, *streams: VideoStream) -> Iterator[Packet[Any]]:
    """The packets of ``streams``, or of all, and at the end an empty one of each.

    PyAV 18.1 does not know a stream that shows up on the way, as the sound of a recording may: it fails at that one's
    empty packet (``IndexError``), when all others have come.
    """
    packets = container.demux(*streams)
    while True:
        try:
            packet = next(packets)
        except (StopIteration, IndexError):
            return
        yield packet


def explain(error: Exception) -> str:
    """An error's own words, without numbers and file names."""
    if isinstance(error, UnicodeError):
        return "text that is not valid UTF-8"
    text = error.strerror if isinstance(error, (av.FFmpegError, OSError)) else str(error)
    return text or type(error).__name__
