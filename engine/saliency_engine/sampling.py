"""Which frames of a clip are sampled, and how to reach them without decoding or holding more than needed.

``select`` yields ``(slot, frame)`` pairs. When the clip turns out shorter than assumed (or a seek misses), it
starts again at slot 0: what was yielded before is void.
"""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import av
from av import Packet, VideoFrame
from av.container import InputContainer
from av.video.stream import VideoStream

from saliency_engine.errors import DecodeError
from saliency_engine.types import DecodeSpec

Opened = tuple[InputContainer, VideoStream]
Open = Callable[[], AbstractContextManager[Opened]]

# A seek costs 0.01 ms (MP4, MKV) to 0.2 ms (TS) and a refill of the decoder's reorder queue: with three B-frames
# some four frames' decoding. From 0 to 4 the threshold made no difference; at 8 short groups lose a third of the
# gain (docs/decoding.md).
SEEK_PAYS = 4


def select(open_clip: Open, spec: DecodeSpec) -> Iterator[tuple[int, VideoFrame]]:
    """The frames that ``spec`` asks for, in order of presentation. Raises ``DecodeError`` with a reason."""
    if spec.sampling == "head":
        # Settled at slots · step frames: any clip from there up to max_frames is sampled alike.
        slots = spec.slots
        yield from _by_count(
            open_clip, spec.max_frames, lambda n: head_indices(n, slots), lambda n: slots * max(1, n // slots)
        )
        return
    timeline = _scan(open_clip)
    if timeline.pts:
        wanted = timeline.wanted(spec.slots)
        for read in (_by_seeking, _in_order):
            with open_clip() as (container, stream):
                if (yield from read(container, stream, timeline, wanted)):
                    return
    # No times (some AVI, raw streams) or times that run backwards: count. The packets are the first guess.
    yield from _by_count(open_clip, timeline.packets, lambda n: uniform_indices(n, spec.slots), lambda _: None)


def head_indices(n: int, slots: int) -> list[int]:
    """Of ``n`` decoded frames: 0, step, 2·step, … with step = max(1, n // slots), at most ``slots`` of them."""
    return list(range(0, n, max(1, n // slots)))[:slots]


def uniform_indices(n: int, slots: int) -> list[int]:
    """Of ``n`` frames: the middles of ``slots`` equal stretches, ⌊(k + ½)·n / slots⌋, each frame once."""
    return sorted({(2 * k + 1) * n // (2 * slots) for k in range(slots)}) if n else []


@dataclass(frozen=True)
class Timeline:
    """What demultiplexing alone tells: distinct presentation times, sorted, and where decoding can start.

    ``pts`` is empty where any packet lacks one. ``end`` is when the last frame's display ends. ``keys`` are
    ``(pts, where to seek)`` of the keyframes. All in the stream's time base.
    """

    pts: list[int]
    end: int
    keys: list[tuple[int, int]]
    packets: int

    def wanted(self, slots: int) -> list[int]:
        """The frames shown at t_k = first + (k + ½)/slots · (end − first): the last pts ≤ t_k, each once."""
        first = self.pts[0]
        times = [first + (2 * k + 1) * (self.end - first) // (2 * slots) for k in range(slots)]
        return sorted({self.pts[bisect.bisect_right(self.pts, time) - 1] for time in times})


def _scan(open_clip: Open) -> Timeline:
    seen: list[tuple[int, int]] = []
    keys: list[tuple[int, int]] = []
    packets, timed = 0, True
    with open_clip() as (container, stream):
        for packet in _packets(container, stream):
            if packet.size == 0 or packet.is_discard:
                continue
            packets += 1
            if packet.pts is None:
                timed = False
                continue
            seen.append((packet.pts, packet.duration or 0))
            if packet.is_keyframe:
                # The index of MP4 and TS is by decoding time, that of MKV by presentation time.
                keys.append((packet.pts, packet.pts if packet.dts is None else min(packet.pts, packet.dts)))
    if not timed or not seen:
        return Timeline([], 0, [], packets)
    # What is shown before the first keyframe (a recording cut anywhere) cannot be decoded.
    start = min(keys)[0] if keys else min(seen)[0]
    pts = sorted({pts for pts, _ in seen if pts >= start})
    last, duration = max(seen)
    steps = sorted(after - before for before, after in itertools.pairwise(pts)) or [1]
    return Timeline(pts, last + (duration or steps[len(steps) // 2]), sorted(keys), packets)


def _packets(container: InputContainer, stream: VideoStream) -> Iterator[Packet[VideoStream]]:
    try:
        yield from container.demux(stream)
    except (av.FFmpegError, ValueError) as error:
        raise DecodeError(f"the file cannot be read to its end: {explain(error)}") from error


def decoded(container: InputContainer, stream: VideoStream, key: int | None = None) -> Iterator[VideoFrame]:
    """Frames from here on, or from the keyframe packet with pts ``key`` on; nothing if that packet is passed by.

    Raises ``DecodeError`` saying how many frames came before the decoder gave up.
    """
    count = 0
    started = key is None
    for packet in _packets(container, stream):
        if not started:
            if packet.is_keyframe and packet.pts is not None and key is not None and packet.pts > key:
                return
            started = packet.is_keyframe and packet.pts == key
            if not started:
                continue
        try:
            frames = packet.decode()
        except (av.FFmpegError, ValueError) as error:
            if count == 0 and not packet.is_keyframe and packet.size:
                continue  # a recording cut in the middle of a group of pictures: nothing to decode it from
            raise DecodeError(f"decoder error after {count} frames: {explain(error)}") from error
        count += len(frames)
        yield from frames


def _by_count(
    open_clip: Open,
    expected: int,
    indices_of: Callable[[int], list[int]],
    enough_of: Callable[[int], int | None],
) -> Iterator[tuple[int, VideoFrame]]:
    """Sample by index as if the clip had ``expected`` frames; once more if that gave the wrong indices.

    ``enough_of`` says after how many frames the indices are settled, None where only the clip's end settles them.
    """
    while True:
        indices, enough = indices_of(expected), enough_of(expected)
        slots = {index: slot for slot, index in enumerate(indices)}
        count = 0
        with open_clip() as (container, stream):
            for frame in decoded(container, stream):
                if count in slots:
                    yield slots[count], frame
                count += 1
                if count == enough:
                    return
        if indices_of(count) == indices:
            return
        expected = count


def _by_seeking(
    container: InputContainer, stream: VideoStream, timeline: Timeline, wanted: Sequence[int]
) -> Generator[tuple[int, VideoFrame], None, bool]:
    """Yield the frame of each wanted time; returns False at the first one that does not come out sound."""
    frames = decoded(container, stream)
    position = -1  # index into timeline.pts of the newest decoded frame
    for slot, pts in enumerate(wanted):
        # Never a keyframe later than the frame: the frames shown before an open group's keyframe need the
        # group before it, and decoders differ in what they make of them.
        before = bisect.bisect_right(timeline.keys, (pts, pts))
        key, seek_to = timeline.keys[before - 1] if before else (timeline.pts[0], 0)
        try:
            if bisect.bisect_left(timeline.pts, key) - position > SEEK_PAYS:
                container.seek(seek_to, stream=stream)
                frames = decoded(container, stream, key)
            frame = next((frame for frame in frames if frame.pts is None or frame.pts >= pts), None)
        except (DecodeError, av.FFmpegError):
            return False
        if frame is None or frame.pts != pts or frame.is_corrupt:
            return False
        position = bisect.bisect_left(timeline.pts, pts)
        yield slot, frame
    return True


def _in_order(
    container: InputContainer, stream: VideoStream, _: Timeline, wanted: Sequence[int]
) -> Generator[tuple[int, VideoFrame], None, bool]:
    """Decode from the start; the frame shown at each wanted time is the last one not later than it.

    Returns False where the decoder's frames, which come in order of presentation, have no times in that order.
    """
    shown: VideoFrame | None = None
    yielded: VideoFrame | None = None
    slot, due = 0, 0
    for frame in decoded(container, stream):
        if frame.pts is None or (shown is not None and shown.pts is not None and frame.pts < shown.pts):
            return False
        before = due
        while due < len(wanted) and wanted[due] < frame.pts:
            due += 1
        chosen = shown or frame
        if due > before and chosen is not yielded:
            yield slot, chosen
            slot, yielded = slot + 1, chosen
        if due == len(wanted):
            return True
        shown = frame
    if shown is not None and shown is not yielded:
        yield slot, shown
    return True


def explain(error: Exception) -> str:
    """An error's own words, without numbers and file names."""
    if isinstance(error, UnicodeError):
        return "text that is not valid UTF-8"
    text = error.strerror if isinstance(error, (av.FFmpegError, OSError)) else str(error)
    return text or type(error).__name__
