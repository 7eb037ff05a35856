"""An open clip's packets and frames, in order, and the signs that some of them are missing or damaged."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass

import av
from av import Packet, VideoFrame
from av.video.stream import VideoStream

from saliency_engine.errors import DecodeError
from saliency_engine.video import encryption
from saliency_engine.video.container import OpenClip
from saliency_engine.video.cropping import WHOLE, Crop
from saliency_engine.video.demuxer import explain, read_all
from saliency_engine.video.spare import Spare
from saliency_engine.video.truncation import Packets, find_cut


@dataclass(frozen=True, slots=True)
class Shown:
    """A decoded frame."""

    frame: VideoFrame
    damaged: bool
    """FFmpeg flagged it as corrupt, or a frame that it may be built on."""
    crop: Crop = WHOLE
    """What its container hides of it."""

    @property
    def pts(self) -> int | None:
        """When it is shown, in the stream's time base."""
        return self.frame.pts


Open = Callable[[], AbstractContextManager[OpenClip]]
"""Opens a clip at its start, as often as it is called."""
Sampled = tuple[int, Shown]
"""A place in the sample, and the frame for it."""


def read_packets(clip: OpenClip, sought: bool = False) -> Iterator[Packet[VideoStream]]:
    """The video stream's packets from here on, and a last, empty one that makes the decoder give what it still holds.

    ``sought`` says that the clip was not opened just now but moved to another place. Raises ``DecodeError`` where the
    file cannot be read to its end, or ends before it should. With ``clip.accept_short`` it may end anywhere; its last
    packet is left out if it is incomplete.
    """
    last: Packet[VideoStream] | None = None
    torn = False
    count = 0
    try:
        for packet in read_all(clip.container, clip.stream):
            if not packet.size:  # a sample of no bytes, which decoders take for the end; or PyAV's own, the last one
                empty = packet
                continue
            if torn and last is not None:
                yield last
            if clip.encrypted:
                encryption.check_packet(packet)
            last, torn = packet, packet.is_corrupt
            count += 1
            if not torn:
                yield packet
    except (av.FFmpegError, ValueError) as error:
        raise DecodeError(f"the file cannot be read to its end: {explain(error)}") from error
    _check_end(clip, Packets(count, 0 if sought else _count_indexed(clip, count), _end_of(last), torn))
    yield empty


def _end_of(packet: Packet[VideoStream] | None) -> int | None:
    return None if packet is None or packet.pos is None else packet.pos + packet.size


def _count_indexed(clip: OpenClip, count: int) -> int:
    # The indexes of other containers list things that are no packets, or only the packets read so far.
    entries = clip.stream.index_entries if clip.container.format.name.startswith("mov") else ()
    return len(entries) if len(entries) <= count else sum(entry.size > 0 for entry in entries)


def _check_end(clip: OpenClip, read: Packets) -> None:
    if not clip.accept_short and (cut := find_cut(clip.fd, clip.container.format.name, read)):
        raise DecodeError(f"the file is cut off: {cut} (--accept-short takes the frames that are there)")


def read_frames(clip: OpenClip, key: int | None = None, spare: Spare | None = None) -> Iterator[Shown]:
    """Frames from here on, or from the keyframe packet with pts ``key`` on; none if that packet does not come.

    Packets that ``spare`` takes are left out.

    Raises ``DecodeError`` saying how many frames came before the decoder gave up, or that there are none.
    """
    count, damaged = 0, False
    packets = read_packets(clip) if key is None else _read_packets_from(clip, key)
    for packet in packets:
        if spare is not None and spare.takes(packet):
            continue
        if packet.is_corrupt:
            # The decoder drops the flag, but hands this on to the packet's own frame. By their times, frames of another
            # recording that was joined to this one would be taken for it. PyAV forgets an object that two packets
            # share as soon as one of them is gone.
            packet.opaque = object()
        try:
            decoded = packet.decode()
        except (av.FFmpegError, ValueError) as error:
            # A decoder that does not start does not start later either, and PyAV 19 then says another reason.
            if count == 0 and not packet.is_keyframe and packet.size and clip.stream.codec_context.is_open:
                clip.check_packet(packet)
                continue  # a recording cut in the middle of a group of pictures: nothing to decode it from
            raise _failure(clip, packet, count, error) from error
        count += len(decoded)
        for frame in decoded:
            clip.check_frame(frame)
            # Damage spreads from frame to frame up to the next one that is built on no other.
            bad = frame.is_corrupt or frame.opaque is not None
            damaged = bad or (damaged and not frame.key_frame)
            yield Shown(frame, damaged, clip.crop)
    if not count and key is None:
        encryption.check_transport(clip.fd, clip.container.format.name)
        raise DecodeError("the file holds no frame that can be decoded")


def _read_packets_from(clip: OpenClip, key: int) -> Iterator[Packet[VideoStream]]:
    """The packets from the keyframe with pts ``key`` on, after a seek; none if it does not come."""
    started = False
    for packet in read_packets(clip, sought=True):
        if not started and packet.is_keyframe and packet.pts is not None and packet.pts > key:
            return
        started = started or (packet.is_keyframe and packet.pts == key)
        if started:
            yield packet


def _failure(clip: OpenClip, packet: Packet[VideoStream], count: int, error: Exception) -> DecodeError:
    """What is said of a decoder that gave up at ``packet``, after ``count`` frames."""
    clip.check_packet(packet)
    # FFmpeg forgets the size that it refuses.
    unsized = f"a frame has no valid size, or more pixels than --max-pixels {clip.max_pixels} allows"
    reason = explain(error) if clip.stream.codec_context.width else unsized
    return DecodeError(f"the decoder failed after {count} frames: {reason}")
