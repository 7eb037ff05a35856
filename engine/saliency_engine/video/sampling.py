"""Which frames of a clip are sampled, and how to reach them without decoding or holding more than needed.

``select`` yields ``(place in the sample, frame)`` pairs. When the clip turns out shorter than assumed, or a seek
misses, it starts again at place 0, and what was yielded before is void.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass

import av
import numpy as np
from av import Packet
from av.video.stream import VideoStream
from numpy.typing import NDArray

from saliency_engine.errors import DecodeError
from saliency_engine.types import DecodeSpec, Head, Uniform
from saliency_engine.video.container import OpenClip
from saliency_engine.video.frames import Shown, read_frames, read_packets

Open = Callable[[], AbstractContextManager[OpenClip]]
Times = NDArray[np.int64]
Sampled = tuple[int, Shown]
"""A place in the sample, and the frame for it."""

# A seek costs 0.01 ms (MP4, MKV) to 0.2 ms (TS) and a refill of the decoder's reorder queue: with three B-frames
# some four frames' decoding. From 0 to 4 the threshold made no difference; at 8 short groups lose a third of the
# gain (docs/decoding.md).
SEEK_PAYS = 4
# Four hours at 30 frames a second. To refuse a clip of 4.8 hours took up to 2.1 s of a busy machine's processor, one of
# 48 hours 6 s and 185 MiB.
MOST_FRAMES = 4 * 3600 * 30


def select(open_clip: Open, spec: DecodeSpec) -> Iterator[Sampled]:
    """The frames that ``spec`` asks for, in order of presentation. Raises ``DecodeError`` with a reason."""
    match spec.sampling:
        case Head(max_frames=max_frames, frames_per_clip=k):
            # Settled at K · step frames: any clip from there up to max_frames is sampled alike.
            count = yield from _by_count(
                open_clip, max_frames, lambda n: head_indices(n, k), lambda n: k * max(1, n // k)
            )
        case Uniform():
            count = yield from _uniform(open_clip, spec)
    needed = spec.frames_per_clip
    if 0 < count < needed and not spec.accept_short:
        raise DecodeError(
            f"the clip gives {count} of the {needed} frames that the sample needs (--accept-short takes them)"
        )


def _uniform(open_clip: Open, spec: DecodeSpec) -> Generator[Sampled, None, int]:
    """Returns how many frames there were to choose from, as far as that is known."""
    frames_per_clip, timeline = spec.frames_per_clip, _read_timeline(open_clip)
    if len(timeline.pts):
        wanted = timeline.choose(frames_per_clip)
        for read in (_by_seeking, _in_order):
            with open_clip() as clip:
                if (count := (yield from read(clip, timeline, wanted))) is not None:
                    # Frames of uneven length may be due more than once, which leaves fewer of them: no lack.
                    return len(timeline.pts) if count == len(wanted) else count
    # No times (some AVI, raw streams) or times that run backwards: count. The packets are the first guess.
    count = yield from _by_count(
        open_clip, timeline.packets, lambda n: uniform_indices(n, frames_per_clip), lambda _: None
    )
    return count


def head_indices(n: int, count: int) -> list[int]:
    """Of ``n`` decoded frames: 0, step, 2·step, … with step = max(1, n // count), at most ``count`` of them."""
    return list(range(0, n, max(1, n // count)))[:count]


def uniform_indices(n: int, count: int) -> list[int]:
    """Of ``n`` frames: the middles of ``count`` equal stretches, ⌊(k + ½)·n / count⌋, each frame once."""
    return sorted({(2 * k + 1) * n // (2 * count) for k in range(count)}) if n else []


@dataclass(frozen=True)
class Timeline:
    """What a clip's packets tell without decoding. All times are int64, in the stream's time base."""

    pts: Times
    """The frames' presentation times, sorted, each once; empty where any packet lacks one."""
    end: int
    """When the last frame's display ends."""
    keys: Times
    """The presentation times of the keyframes, sorted."""
    seek_to: Times
    """For each of ``keys``, the time to seek to."""
    packets: int
    """How many packets there are."""

    def choose(self, count: int) -> list[int]:
        """The frames shown at t_k = first + (k + ½)/count · (end − first): the last pts ≤ t_k, each once."""
        first = int(self.pts[0])
        times = [first + (2 * k + 1) * (self.end - first) // (2 * count) for k in range(count)]
        shown = self.pts[np.searchsorted(self.pts, np.array(times, np.int64), "right") - 1]
        return [int(pts) for pts in np.unique(shown)]


def _read_timeline(open_clip: Open) -> Timeline:
    seen, keys, seek_to = array("q"), array("q"), array("q")  # 8 bytes a frame: clips may have millions
    last: Packet[VideoStream] | None = None
    untimed = 0
    with open_clip() as clip:
        # AVI keeps all of its index in memory: passing 524,288 packets by took 2.5 s more than asking it.
        _refuse_more(len(clip.stream.index_entries))
        for packet in read_packets(clip):
            if not packet.size or packet.is_discard:
                continue
            if (pts := packet.pts) is None:
                untimed += 1
                continue
            seen.append(pts)
            if last is None or last.pts is None or pts >= last.pts:
                last = packet
            if packet.is_keyframe:
                keys.append(pts)
                # The index of MP4 and TS is by decoding time, that of MKV by presentation time.
                seek_to.append(pts if packet.dts is None else min(pts, packet.dts))
            _refuse_more(len(seen) + untimed)
    packets = len(seen) + untimed
    if untimed or last is None:
        none = np.empty(0, np.int64)
        return Timeline(none, 0, none, none, packets)
    shown, key_pts, key_seek = (np.frombuffer(times, np.int64) for times in (seen, keys, seek_to))
    if len(key_pts):  # what is shown before the first keyframe (a recording cut anywhere) cannot be decoded
        shown = shown[shown >= key_pts.min()]
    shown, order = np.unique(shown), np.lexsort((key_seek, key_pts))
    steps = np.sort(np.diff(shown)) if len(shown) > 1 else np.ones(1, np.int64)
    end = int(shown[-1]) + (last.duration or int(steps[len(steps) // 2]))
    return Timeline(shown, end, key_pts[order], key_seek[order], packets)


def _refuse_more(frames: int) -> None:
    if frames > MOST_FRAMES:
        raise DecodeError(f"more than {MOST_FRAMES} frames are too many for --sampling uniform; use --sampling head")


def _by_count(
    open_clip: Open,
    expected: int,
    indices_of: Callable[[int], list[int]],
    enough_of: Callable[[int], int | None],
) -> Generator[Sampled, None, int]:
    """Sample by index as if the clip had ``expected`` frames, and again if it turns out to have another number.

    ``indices_of`` gives the indices in a clip of n frames. ``enough_of`` gives after how many decoded frames they are
    settled, or ``None`` where only the clip's end settles them. Returns how many frames were decoded.
    """
    while True:
        indices, enough = indices_of(expected), enough_of(expected)
        places = {index: place for place, index in enumerate(indices)}
        count = 0
        with open_clip() as clip:
            for frame in read_frames(clip):
                if count in places:
                    yield places[count], frame
                count += 1
                if count == enough:
                    return count
        if indices_of(count) == indices:
            return count
        expected = count


def _by_seeking(clip: OpenClip, timeline: Timeline, wanted: list[int]) -> Generator[Sampled, None, int | None]:
    """Yield the frame of each wanted time. Returns their number; ``None`` at the first that does not come out sound."""
    frames = read_frames(clip)
    position = -1  # index into timeline.pts of the newest decoded frame
    for place, pts in enumerate(wanted):
        # Never a keyframe later than the frame: the frames shown before an open group's keyframe need the
        # group before it, and decoders differ in what they make of them.
        before = int(np.searchsorted(timeline.keys, pts, "right")) - 1
        key, seek_to = (timeline.keys[before], timeline.seek_to[before]) if before >= 0 else (timeline.pts[0], 0)
        try:
            if int(np.searchsorted(timeline.pts, key)) - position > SEEK_PAYS:
                clip.container.seek(int(seek_to), stream=clip.stream)
                frames = read_frames(clip, int(key))
            frame = next((frame for frame in frames if frame.pts is None or frame.pts >= pts), None)
        except (DecodeError, av.FFmpegError):
            return None
        if frame is None or frame.pts != pts or frame.damaged:
            return None
        position = int(np.searchsorted(timeline.pts, pts))
        yield place, frame
    return len(wanted)


def _in_order(clip: OpenClip, _: Timeline, wanted: list[int]) -> Generator[Sampled, None, int | None]:
    """Decode from the start; the frame shown at each wanted time is the last one not later than it.

    Returns how many frames that gave, ``None`` where the decoder's frames, which come in order of presentation, have
    no times in that order.
    """
    shown: Shown | None = None
    yielded: Shown | None = None
    place, due = 0, 0
    for frame in read_frames(clip):
        if frame.pts is None or (shown is not None and shown.pts is not None and frame.pts < shown.pts):
            return None
        before = due
        while due < len(wanted) and wanted[due] < frame.pts:
            due += 1
        chosen = shown or frame
        if due > before and chosen is not yielded:
            yield place, chosen
            place, yielded = place + 1, chosen
        if due == len(wanted):
            return place
        shown = frame
    if shown is not None and shown is not yielded:
        yield place, shown
        place += 1
    return place
