"""When a clip's frames are shown and where its decoding can start, as far as its packets tell without being decoded."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from saliency_engine.errors import DecodeError
from saliency_engine.video.container import OpenClip
from saliency_engine.video.frames import read_packets

Times = NDArray[np.int64]
_NONE = np.empty(0, np.int64)

# Four hours at 30 frames a second. To refuse a clip of 4.8 hours took up to 2.1 s of a busy machine's processor, one of
# 48 hours 6 s and 185 MiB.
MOST_FRAMES = 4 * 3600 * 30
# A clock that was set, or recordings that were joined, leave a gap that no frame is meant to fill. Screen recordings
# have frames of many seconds, slide shows only such: a leap is longer than a minute and than a hundred usual frames.
_LEAP_SECONDS, _LEAP_STEPS = 60, 100


@dataclass(frozen=True)
class Timeline:
    """What demultiplexing alone tells. All times are int64 in the stream's time base.

    Where the packets' times contradict each other, ``pts`` is empty: they repeat, run backwards, or leap.
    """

    pts: Times
    """When frames are shown: sorted, each once."""
    end: int
    """When the last frame's display ends."""
    keys: Times
    """Times of the keyframes that are shown, sorted."""
    seek_to: Times
    """Where to seek for each of ``keys``."""
    packets: int
    """How many packets are shown, those without a time among them."""
    starts_at_key: bool
    """Whether the first packet is a keyframe and the first to be shown, so that the first frame is certain."""

    def indices(self, count: int) -> list[int]:
        """Of ``pts``, the frames that are shown at ``count`` times; see ``indices_by_time``."""
        return indices_by_time(self.pts, self.end, count)

    def beginning_at(self, first: int) -> Timeline:
        """This timeline from the frame on that is shown at ``first``; without times where there is none."""
        at = int(np.searchsorted(self.pts, first))
        known = at < len(self.pts) and int(self.pts[at]) == first
        return replace(self, pts=self.pts[at:] if known else _NONE)


def indices_by_time(pts: Times, end: int, count: int) -> list[int]:
    """The frames shown at t_k = first + (k + ½)/count · (end − first): the last of sorted ``pts`` ≤ t_k, each once."""
    first = int(pts[0])
    times = [first + (2 * k + 1) * (end - first) // (2 * count) for k in range(count)]
    return [int(at) for at in np.unique(np.searchsorted(pts, np.array(times, np.int64), "right") - 1)]


def indices_by_count(frames: int, count: int) -> list[int]:
    """Of ``frames`` frames: the middles of ``count`` equal stretches, ⌊(k + ½)·frames / count⌋, each frame once."""
    return sorted({(2 * k + 1) * frames // (2 * count) for k in range(count)}) if frames else []


def leaps(pts: Times, seconds_per_unit: float) -> bool:
    """Whether sorted times have a gap that is no frame's length."""
    steps = np.diff(pts)
    if not len(steps):
        return False
    longest = float(steps.max())
    return longest * seconds_per_unit > _LEAP_SECONDS and longest > _LEAP_STEPS * float(np.median(steps))


def scan(clip: OpenClip) -> Timeline:
    """Read all packets of a clip that was just opened. Raises ``DecodeError`` where it is cut off or far too long."""
    shown, keys, seek_to = array("q"), array("q"), array("q")  # 8 bytes a frame: clips may have millions
    last_dts: int | None = None
    last_shown, last_duration, untimed, backwards = -(2**63), 0, 0, False
    starts_at_key = False
    # AVI keeps all of its index in memory: passing 524,288 packets by took 2.5 s more than asking it.
    _refuse_more(len(clip.stream.index_entries))
    for packet in read_packets(clip):
        if not packet.size:
            continue
        # Packets that are decoded and not shown (what a cut without encoding leaves before the cut) are no frames.
        hidden = packet.is_discard
        if not shown and not untimed:
            starts_at_key = packet.is_keyframe and not hidden
        if packet.dts is not None:
            backwards |= last_dts is not None and packet.dts < last_dts
            last_dts = packet.dts
        if hidden:
            starts_at_key = False
            continue
        if (pts := packet.pts) is None:
            untimed += 1
            continue
        shown.append(pts)
        if pts >= last_shown:
            last_shown, last_duration = pts, packet.duration or 0
        if packet.is_keyframe:
            # Frames are shown after the keyframes before them, whatever their order of decoding.
            backwards |= bool(keys) and pts <= keys[-1]
            keys.append(pts)
            # The index of MP4 and TS is by decoding time, that of MKV by presentation time.
            seek_to.append(pts if packet.dts is None else min(pts, packet.dts))
        _refuse_more(len(shown) + untimed)
    packets = len(shown) + untimed
    pts_sorted = np.unique(np.frombuffer(shown, np.int64)) if shown else _NONE
    seconds = float(clip.stream.time_base or 0)
    if untimed or backwards or len(pts_sorted) < len(shown) or leaps(pts_sorted, seconds) or not shown:
        return Timeline(_NONE, 0, _NONE, _NONE, packets, starts_at_key)
    steps = np.sort(np.diff(pts_sorted)) if len(pts_sorted) > 1 else np.ones(1, np.int64)
    end = int(pts_sorted[-1]) + (last_duration or int(steps[len(steps) // 2]))
    starts_at_key = starts_at_key and shown[0] == pts_sorted[0]
    return Timeline(
        pts_sorted, end, np.frombuffer(keys, np.int64), np.frombuffer(seek_to, np.int64), packets, starts_at_key
    )


def _refuse_more(frames: int) -> None:
    if frames > MOST_FRAMES:
        raise DecodeError(f"more than {MOST_FRAMES} frames are too many for --sampling uniform; use --sampling head")
