"""Opening a clip's file for decoding: that file and nothing else, whatever its name or its content says."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from av import Codec, Packet, VideoFrame
from av.codec.context import Flags
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from saliency_engine.errors import DecodeError
from saliency_engine.facts import ProbeSpec
from saliency_engine.storage.regular_file import open_clip
from saliency_engine.types import ClipRequest, DecodeSpec
from saliency_engine.video import encryption
from saliency_engine.video.cropping import Crop, find_crop
from saliency_engine.video.demuxer import look_through, open_container
from saliency_engine.video.dolby_vision import check_header
from saliency_engine.video.frame_sizes import check_size, ffmpeg_limit, read_size
from saliency_engine.video.headers import read_header

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
        check_size(*read_size(packet, self.codec), self.max_pixels)

    def check_frame(self, frame: VideoFrame) -> None:
        """Raise ``DecodeError`` where a frame is too large."""
        check_size(frame.width, frame.height, self.max_pixels)


@contextmanager
def opened(request: ClipRequest, spec: DecodeSpec | ProbeSpec) -> Iterator[OpenClip]:
    """Open a clip's video stream for decoding on one thread; closed again whatever happens.

    Raises ``DecodeError`` where the path is no regular file, or cannot be fetched, is no admitted container, holds no
    video or one whose colours are not those of a picture, or its frames are larger than ``spec.max_pixels``, if
    possible before any frame is decoded.
    """
    fd = open_clip(request, spec.confine)
    try:
        with open_container(fd, request.raw, spec.max_pixels) as container:
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
        look_through(fd, spec.max_pixels)
        os.lseek(fd, position, os.SEEK_SET)
    check_size(stream.codec_context.width, stream.codec_context.height, spec.max_pixels)
    stream.thread_type = "NONE"
    stream.codec_context.thread_count = 1
    # Else decoders cut columns off at the left only in whole blocks, so that hidden ones stay in the picture.
    stream.codec_context.flags |= Flags.unaligned
    stream.codec_context.flags |= Flags.copy_opaque  # else frames do not show which packets they came in
    stream.codec_context.options = ffmpeg_limit(spec.max_pixels)
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
