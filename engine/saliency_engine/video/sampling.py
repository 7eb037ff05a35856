"""Which frames of a clip are sampled, and how to reach them without decoding or holding more than needed.

``select`` yields ``(place, frame)`` pairs, ``place`` being the frame's index in the sample. When the clip turns out to
be another one than was assumed (or a seek proves nothing), it starts again at place 0: what was yielded before is void.
"""

from __future__ import annotations

import itertools
from array import array
from collections.abc import Generator, Iterator

import av
import numpy as np

from saliency_engine.errors import DecodeError
from saliency_engine.samplings import Head, Keyframes, Uniform
from saliency_engine.types import DecodeSpec
from saliency_engine.video.container import OpenClip
from saliency_engine.video.frames import Open, Sampled, Shown, read_frames
from saliency_engine.video.keyframes import is_key, may_start_at_keys, sample_keyframes
from saliency_engine.video.spare import Spare
from saliency_engine.video.timeline import Timeline, indices_by_count, indices_by_time, leaps, scan

# A seek costs 0.01 ms (MP4, MKV) to 0.2 ms (TS) and a refill of the decoder's reorder queue: with three B-frames
# some four frames' decoding. From 0 to 4 the threshold made no difference; at 8 short groups lose a third of the
# gain (docs/decoding.md).
SEEK_PAYS = 4


def select(open_clip: Open, spec: DecodeSpec) -> Iterator[Sampled]:
    """The frames that ``spec`` asks for, in order of presentation. Raises ``DecodeError`` with a reason."""
    match spec.sampling:
        case Head(max_frames=max_frames, frames_per_clip=frames_per_clip):
            count = yield from _from_the_start(open_clip, max_frames, frames_per_clip)
        case Uniform(frames_per_clip=frames_per_clip):
            count = yield from _over_the_clip(open_clip, frames_per_clip)
        case Keyframes(frames_per_clip=frames_per_clip):
            yield from sample_keyframes(open_clip, frames_per_clip)
            return  # fewer are what there is
    if 0 < count < frames_per_clip and not spec.accept_short:
        raise DecodeError(
            f"the clip gives {count} of the {frames_per_clip} frames that the sample needs (--accept-short takes them)"
        )


def head_indices(frames: int, count: int) -> list[int]:
    """Of ``frames`` decoded frames: 0, step, 2·step, … with step = max(1, frames // count), at most ``count``."""
    return list(range(0, frames, max(1, frames // count)))[:count]


def _from_the_start(open_clip: Open, max_frames: int, frames_per_clip: int) -> Generator[Sampled, None, int]:
    """Sample by index as if the clip had ``max_frames``, once more if it has fewer. Returns how many were decoded."""
    expected = max_frames
    while True:
        indices = head_indices(expected, frames_per_clip)
        # Settled at K · step frames: any clip from there up to max_frames is sampled alike.
        enough = frames_per_clip * max(1, expected // frames_per_clip)
        places = {index: place for place, index in enumerate(indices)}
        count = 0
        with open_clip() as clip:
            for frame in read_frames(clip):
                if count in places:
                    yield places[count], frame
                count += 1
                if count == enough:
                    return count
        if head_indices(count, frames_per_clip) == indices:
            return count
        expected = count


def _over_the_clip(open_clip: Open, frames_per_clip: int) -> Generator[Sampled, None, int]:
    """Returns how many frames there were to choose from, as far as that is known."""
    with open_clip() as clip:
        timeline = scan(clip)
    if len(timeline.pts) and not timeline.starts_at_key:
        # What comes before the first keyframe (a recording cut anywhere, leading frames) may come out or not.
        timeline = timeline.beginning_at(_first_shown(open_clip))
    if len(timeline.pts):
        with open_clip() as clip:
            if (yield from _by_seeking(clip, timeline, timeline.indices(frames_per_clip))):
                return len(timeline.pts)
    count = yield from _in_order(open_clip, timeline, frames_per_clip)
    return count


def _first_shown(open_clip: Open) -> int:
    """When the first frame that comes out is shown; before any time where none comes out, or one without a time."""
    with open_clip() as clip:
        first = next(read_frames(clip), None)
    return -(2**63) if first is None or first.pts is None else first.pts


def _by_seeking(clip: OpenClip, timeline: Timeline, indices: list[int]) -> Generator[Sampled, None, bool]:
    """Yield the frames at ``indices`` of the timeline. False at the first whose way there proves nothing.

    From the start, or from a keyframe that was sought, up to the frame that is wanted, every frame must come out whole
    and at the time that the timeline gives it, but for those that ``Spare`` proves to be spare. So must the one after a
    frame that is shown unusually long: in files whose times are wrong, that frame is the one for all samples.
    """
    spare = Spare(clip, timeline.needed(indices))
    frames, following = read_frames(clip, None, spare), 0  # ``following``: the index of the frame that must come next
    for place, index in enumerate(indices):
        # Never a keyframe later than the frame: the frames shown before an open group's keyframe need the
        # group before it, and decoders differ in what they make of them.
        key = int(np.searchsorted(timeline.keys, timeline.pts[index], "right")) - 1
        start = int(np.searchsorted(timeline.pts, timeline.keys[key])) if key >= 0 else 0
        try:
            if start - following > SEEK_PAYS:
                if not may_start_at_keys(clip):
                    return False
                clip.container.seek(int(timeline.seek_to[key]), stream=clip.stream)
                spare = Spare(clip, spare.wanted)
                frames, following = _from_key(clip, int(timeline.keys[key]), spare), start
            for frame in frames:
                following = spare.pass_over(timeline.pts, following, index)
                if frame.damaged or not spare.proven or frame.pts != timeline.pts[following]:
                    return False
                following += 1
                if following > index:
                    break
            else:
                return False
            if timeline.is_held(index):
                after = next(frames, None)
                if (None if after is None else after.pts) != timeline.following(index):
                    return False
                frames = itertools.chain(() if after is None else (after,), frames)
        except (DecodeError, av.FFmpegError):
            return False
        yield place, frame
    return True


def _from_key(clip: OpenClip, key: int, spare: Spare) -> Iterator[Shown]:
    """The frames from the keyframe shown at ``key`` on; none where what comes out is no keyframe.

    Indexes, containers and parsers call packets keyframes that are none; the decoder knows what it decoded.
    """
    frames = read_frames(clip, key, spare)
    for first in frames:
        if first.pts is not None and first.pts < key:
            continue  # shown before an open group's keyframe, and not decodable from here
        if is_key(clip, first):
            yield first
            yield from frames
        return


def _in_order(open_clip: Open, timeline: Timeline, frames_per_clip: int) -> Generator[Sampled, None, int]:
    """Decode the clip from its start to its end. Returns how many frames there were.

    The packets say which frames to keep, until the frames themselves have been seen: if these say otherwise, the clip
    is decoded once more.
    """
    indices = (
        timeline.indices(frames_per_clip) if len(timeline.pts) else indices_by_count(timeline.packets, frames_per_clip)
    )
    while True:
        places = {index: place for place, index in enumerate(indices)}
        pts, count = array("q"), 0
        with open_clip() as clip:
            for frame in read_frames(clip):
                if count in places:
                    yield places[count], frame
                if frame.pts is not None and (not pts or frame.pts > pts[-1]):
                    pts.append(frame.pts)
                count += 1
            seconds = float(clip.stream.time_base or 0)
        shown = np.frombuffer(pts, np.int64) if pts else timeline.pts[:0]
        if count and len(timeline.pts) and len(shown) == count and not leaps(shown, seconds):
            end = int(shown[-1]) + timeline.end - int(timeline.pts[-1])
            seen = indices_by_time(shown, end, frames_per_clip)
        else:
            # No times (some AVI, raw streams), or times that are not those of a clip from its start to its end.
            seen = indices_by_count(count, frames_per_clip)
        if seen == indices:
            return count
        indices = seen
