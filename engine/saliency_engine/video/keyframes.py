"""A clip's keyframes, spread over it by time, without decoding any other frame."""

from __future__ import annotations

import itertools
from collections.abc import Generator, Iterator
from contextlib import suppress

import av
import numpy as np
from av.video.frame import PictureType

from saliency_engine.errors import DecodeError
from saliency_engine.video.container import OpenClip
from saliency_engine.video.frames import Open, Sampled, Shown, read_frames, read_packets
from saliency_engine.video.timeline import Timeline, Times, scan

# Codecs whose decoders were held to the frames that decoding in order gives, bit by bit, from a keyframe on
# (tests/torture/test_seeking.py). A codec that no encoder here writes is decoded in order.
_STARTS_AT_KEYS = frozenset({"av1", "h264", "hevc", "mpeg1video", "mpeg2video", "mpeg4", "vp8", "vp9"})


def may_start_at_keys(clip: OpenClip) -> bool:
    """Whether the clip's decoder may be started at a keyframe other than the first."""
    return clip.codec.intra_only or clip.codec.canonical_name in _STARTS_AT_KEYS


def is_key(clip: OpenClip, shown: Shown) -> bool:
    """Whether the decoder says that it decoded a keyframe. Indexes, containers and parsers call others so, too."""
    return bool(shown.frame.key_frame) and (clip.codec.intra_only or shown.frame.pict_type == PictureType.I)


def sample_keyframes(open_clip: Open, count: int) -> Iterator[Sampled]:
    """``count`` of the clip's keyframes, or all of them where there are fewer, as ``sampling.select`` yields them.

    Raises ``DecodeError`` where there is none, and where the clip cannot be decoded.
    """
    with open_clip() as clip:
        timeline = scan(clip)
    if len(timeline.keys):
        with open_clip() as clip:
            if (yield from _decode_alone(clip, timeline, count)):
                return
    with open_clip() as clip:
        times = [shown.pts for shown in _in_order(clip)]
    if not times:
        raise DecodeError("none of the clip's frames is a keyframe: give --sampling uniform or head")
    places = {index: place for place, index in enumerate(_spread_seen(times, timeline.end, count))}
    with open_clip() as clip:
        for index, shown in enumerate(_in_order(clip)):
            if index in places:
                yield places[index], shown


def spread(keys: Times, end: int, count: int) -> list[int]:
    """Which ``count`` of the keyframes at the sorted times ``keys``; all where there are no more.

    Each is the last one at or before the middle of one of ``count`` equal stretches from the first keyframe to ``end``;
    the nearest one after those before it where that is taken, and never so late that there are too few left.
    """
    first, taken = int(keys[0]), min(count, len(keys))
    middles = [first + (2 * place + 1) * (end - first) // (2 * count) for place in range(taken)]
    due = np.searchsorted(keys, np.array(middles, np.int64), "right") - 1
    chosen: list[int] = []
    for place, index in enumerate(due.tolist()):
        chosen.append(min(max(index, chosen[-1] + 1 if chosen else 0), len(keys) - taken + place))
    return chosen


def _spread_seen(times: list[int | None], end: int, count: int) -> list[int]:
    """As ``spread``, for keyframes that came out of the decoder: by number where their times are missing or wrong."""
    known = [at for at in times if at is not None]
    if len(known) == len(times) and all(before < after for before, after in itertools.pairwise(known)):
        return spread(np.array(known, np.int64), max(end, known[-1] + 1), count)
    return spread(np.arange(len(times)), len(times), count)


def _in_order(clip: OpenClip) -> Iterator[Shown]:
    """The keyframes of a clip that is decoded from its start to its end."""
    return (shown for shown in read_frames(clip) if is_key(clip, shown))


def _decode_alone(clip: OpenClip, timeline: Timeline, count: int) -> Generator[Sampled, None, bool]:
    """Yield ``count`` keyframes, each decoded by itself. False at the first that proves not to be one."""
    if timeline.parameters_change or not may_start_at_keys(clip):
        return False
    for place, index in enumerate(spread(timeline.keys, timeline.end, count)):
        key, shown = int(timeline.keys[index]), None
        with suppress(DecodeError, av.FFmpegError):
            clip.container.seek(int(timeline.seek_to[index]), stream=clip.stream)
            shown = _decode_one(clip, key)
        if shown is None or shown.damaged or shown.pts != key or not is_key(clip, shown):
            return False
        if shown.frame.interlaced_frame and clip.codec.canonical_name == "h264":
            return False  # the other field may be in a packet of its own
        yield place, shown
    return True


def _decode_one(clip: OpenClip, key: int) -> Shown | None:
    """The frame of the next keyframe packet with pts ``key``; ``None`` where that does not give exactly one."""
    context = clip.stream.codec_context
    for packet in read_packets(clip, sought=True):
        if packet.is_keyframe and packet.pts is not None and packet.pts >= key and not packet.is_discard:
            frames = [*packet.decode(), *context.decode(None)] if packet.pts == key else []
            if len(frames) != 1:
                return None
            frames[0].time_base = packet.time_base  # what a drained decoder gives has none
            clip.check_frame(frames[0])
            return Shown(frames[0], packet.is_corrupt or frames[0].is_corrupt, clip.crop)
    return None
