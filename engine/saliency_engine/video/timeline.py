"""When a clip's frames are shown and where its decoding can start, as far as its packets tell without being decoded."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from av import Packet
from av.video.stream import VideoStream
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
_LONG = 2  # usual frames


@dataclass(frozen=True)
class Timeline:
    """What demultiplexing alone tells. All times are int64 in the stream's time base.

    Where the packets' times contradict each other, ``pts`` is empty: they repeat, run backwards, or leap.
    """

    pts: Times
    """When frames are shown: sorted, each once."""
    decoded: Times
    """The same in the order of decoding."""
    end: int
    """When the last frame's display ends."""
    keys: Times
    """Times of the keyframes that are shown, sorted."""
    seek_to: Times
    """Where to seek for each of ``keys``."""
    packets: int
    """How many packets are shown, those without a time among them."""
    usual: int
    """How long a frame is usually shown: the median."""
    starts_at_key: bool
    """Whether the first packet is a keyframe and the first to be shown, so that the first frame is certain."""
    parameters_change: bool
    """Whether a keyframe brings other parameters, without which those after it cannot be decoded."""

    def indices(self, count: int) -> list[int]:
        """Of ``pts``, the frames that are shown at ``count`` times; see ``indices_by_time``."""
        return indices_by_time(self.pts, self.end, count)

    def following(self, index: int) -> int | None:
        """When the frame after the one at ``index`` is shown; ``None`` where there is none."""
        return int(self.pts[index + 1]) if index + 1 < len(self.pts) else None

    def is_held(self, index: int) -> bool:
        """Whether the frame at ``index`` is shown unusually long."""
        after = self.following(index)
        return (self.end if after is None else after) - int(self.pts[index]) > _LONG * self.usual

    def needed(self, indices: Sequence[int]) -> set[int]:
        """When those frames are shown, and the ones that must be seen to follow them."""
        after = (self.following(index) for index in indices if self.is_held(index))
        return {int(self.pts[index]) for index in indices} | {at for at in after if at is not None}

    def beginning_at(self, first: int) -> Timeline:
        """This timeline from the frame on that is shown at ``first``; without times where none is known to follow it.

        What is shown before the first frame that comes out never does: it was decoded before that one, or right after
        it, where that is a keyframe. Else the times are wrong.
        """
        (places,) = np.nonzero(self.decoded == first)
        early = self.decoded[places[0] + 1 :] < first if len(places) else np.ones(1, bool)
        leading = first in self.keys and not np.any(early[1:] > early[:-1])
        known = leading or not early.any()
        return replace(self, pts=self.pts[int(np.searchsorted(self.pts, first)) :] if known else _NONE)


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
    # AVI keeps all of its index in memory: passing 524,288 packets by took 2.5 s more than asking it.
    _refuse_more(len(clip.stream.index_entries))
    packets = _Packets()
    for packet in read_packets(clip):
        if packet.size:
            packets.add(packet)
    return packets.timeline(float(clip.stream.time_base or 0))


class _Packets:
    """What the packets say that have been read so far."""

    def __init__(self) -> None:
        self._shown, self._keys, self._seek_to = array("q"), array("q"), array("q")  # 8 bytes a frame
        self._untimed = 0
        self._last_dts: int | None = None
        self._last_shown, self._last_duration = -(2**63), 0
        self._runs_backwards = False
        self._starts_at_key = self._parameters_change = False

    def add(self, packet: Packet[VideoStream]) -> None:
        # Packets that are decoded and not shown (what a cut without encoding leaves before the cut) are no frames.
        if not self._shown and not self._untimed:
            self._starts_at_key = packet.is_keyframe and not packet.is_discard and self._last_dts is None
        if packet.dts is not None:
            self._runs_backwards |= self._last_dts is not None and packet.dts < self._last_dts
            self._last_dts = packet.dts
        if packet.is_discard:
            return
        if (pts := packet.pts) is None:
            self._untimed += 1
        else:
            self._add_shown(packet, pts)
        _refuse_more(len(self._shown) + self._untimed)

    def _add_shown(self, packet: Packet[VideoStream], pts: int) -> None:
        self._shown.append(pts)
        if pts >= self._last_shown:
            self._last_shown, self._last_duration = pts, packet.duration or 0
        if packet.is_keyframe:
            # Frames are shown after the keyframes before them, whatever their order of decoding.
            self._runs_backwards |= bool(self._keys) and pts <= self._keys[-1]
            self._parameters_change |= packet.has_sidedata("new_extradata")  # 1 µs, so not of every packet
            self._keys.append(pts)
            # The index of MP4 and TS is by decoding time, that of MKV by presentation time.
            self._seek_to.append(pts if packet.dts is None else min(pts, packet.dts))

    def timeline(self, seconds_per_unit: float) -> Timeline:
        """What all packets together say; no times where they contradict each other."""
        count = len(self._shown) + self._untimed
        decoded = np.array(self._shown, np.int64)
        pts = np.unique(decoded)
        repeats = len(pts) < len(decoded)
        if not len(pts) or self._untimed or self._runs_backwards or repeats or leaps(pts, seconds_per_unit):
            return Timeline(_NONE, _NONE, 0, _NONE, _NONE, count, 0, self._starts_at_key, self._parameters_change)
        steps = np.sort(np.diff(pts)) if len(pts) > 1 else np.ones(1, np.int64)
        usual = int(steps[len(steps) // 2])
        end = int(pts[-1]) + (self._last_duration or usual)
        keys, seek_to = (np.array(times, np.int64) for times in (self._keys, self._seek_to))
        starts_at_key = self._starts_at_key and self._shown[0] == int(pts[0])
        return Timeline(pts, decoded, end, keys, seek_to, count, usual, starts_at_key, self._parameters_change)


def _refuse_more(frames: int) -> None:
    if frames > MOST_FRAMES:
        raise DecodeError(
            f"more than {MOST_FRAMES} frames are too many for --sampling uniform or keyframes; use --sampling head"
        )
