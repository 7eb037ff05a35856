"""Which frames are sampled: the contract's formulas, exact by time, the same with and without seeking."""

from __future__ import annotations

import bisect
from collections.abc import Callable, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from tests.clips import Encode, planar_frame

from saliency_engine.config import RunConfig
from saliency_engine.samplings import Uniform
from saliency_engine.types import ClipRequest, DecodedClip, DecodeSpec, decode_spec
from saliency_engine.video import sampling
from saliency_engine.video.container import opened
from saliency_engine.video.decode import decode_clip
from saliency_engine.video.frames import read_frames

LOSSLESS = {"qp": "0", "bf": "2"}
UNEVEN = (2, 3, 7, 1, 9, 2)


def counted_frames(count: int) -> list[av.VideoFrame]:
    """Flat frames whose luma is 16 + 2·index: a decoded pixel tells which frame it came from."""
    chroma = np.full((24, 32), 128, np.uint8)
    return [
        planar_frame("yuv420p", [np.full((48, 64), 16 + 2 * index, np.uint8), chroma, chroma]) for index in range(count)
    ]


@pytest.fixture(scope="module")
def counted() -> Callable[[int], list[av.VideoFrame]]:
    frames = counted_frames(60)
    return lambda count: frames[:count]


def sampled(path: Path, **settings: Any) -> list[int]:
    """Indices of the frames that ``decode_clip`` took from a clip of counted frames."""
    spec = decode_spec(RunConfig(model="frequency_tuned_v1", accept_short=True, **settings), 32, 32)
    out = np.zeros((spec.frames_per_clip, 3, 32, 32), np.uint16)
    clip = decode_clip(request(path), spec, out)
    return [round(float(frame.mean()) * 219 / 65535 / 2) for frame in out[: clip.frames]]


def request(path: Path) -> ClipRequest:
    return ClipRequest(str(path), path.stat().st_size, path.stat().st_mtime_ns)


@pytest.mark.parametrize("count", [1, 3, 8, 11, 24, 30, 60])
@pytest.mark.parametrize(
    ("max_frames", "frame_samples"), [(8, 8), (16, 8), (30, 8), (25, 4), (7, 9), (1, 1), (100, 8), (60, 60)]
)
def test_head_follows_the_contract(
    encode: Encode,
    counted: Callable[[int], list[av.VideoFrame]],
    count: int,
    max_frames: int,
    frame_samples: int,
) -> None:
    path = encode("counted.mp4", source=counted(count), options=LOSSLESS)
    n = min(count, max_frames)
    k = min(frame_samples, max_frames)
    expected = list(range(0, n, max(1, n // k)))[:k]
    assert sampled(path, max_frames=max_frames, frame_samples=frame_samples) == expected


def shown_at(pts: Sequence[int], duration: int, samples: int) -> list[int]:
    """Indices shown at the middles of ``samples`` equal stretches of the clip, each once."""
    times = [pts[0] + (k + 0.5) / samples * (pts[-1] + duration - pts[0]) for k in range(samples)]
    return sorted({bisect.bisect_right(pts, time) - 1 for time in times})


@pytest.mark.parametrize("samples", [1, 5, 8, 100])
@pytest.mark.parametrize("name", ["even.mp4", "even.mkv", "even.ts"])
def test_uniform_spreads_over_the_clip(
    encode: Encode, counted: Callable[[int], list[av.VideoFrame]], name: str, samples: int
) -> None:
    path = encode(name, source=counted(60), options=LOSSLESS, gop=10)
    assert sampled(path, sampling="uniform", frame_samples=samples) == shown_at(range(60), 1, samples)


@pytest.mark.parametrize("name", ["uneven.mp4", "uneven.mkv"])
def test_uniform_is_by_time_not_by_index(
    encode: Encode, counted: Callable[[int], list[av.VideoFrame]], name: str
) -> None:
    pts = list(accumulate(UNEVEN * 9, initial=5000))[:50]
    path = encode(name, source=counted(50), options=LOSSLESS, gop=7, rate=100, pts=pts)
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    times = sorted(packet.pts for packet in packets if packet.pts is not None)
    last = max(packets, key=lambda packet: packet.pts or 0)
    assert [(time - times[0]) * (pts[-1] - pts[0]) for time in times] == [
        (time - pts[0]) * (times[-1] - times[0]) for time in pts
    ]
    assert sampled(path, sampling="uniform") == shown_at(times, last.duration or 0, 8)


@pytest.mark.parametrize("name", ["untimed.avi", "untimed.h264"])
def test_uniform_counts_where_there_are_no_times(
    encode: Encode, counted: Callable[[int], list[av.VideoFrame]], name: str
) -> None:
    path = encode(name, source=counted(45), options=LOSSLESS, gop=10)
    assert sampled(path, sampling="uniform") == [int((k + 0.5) * 45 / 8) for k in range(8)]


def test_short_clip_gives_each_frame_once(encode: Encode, counted: Callable[[int], list[av.VideoFrame]]) -> None:
    for name in ("short.mp4", "short.avi"):
        path = encode(name, source=counted(3), options=LOSSLESS)
        assert sampled(path, sampling="uniform") == [0, 1, 2]


X264 = {"bf": "3", "preset": "veryfast", "x264-params": "scenecut=0"}
SEEKABLE = {
    "closed.mp4": {"options": X264},
    "closed.mkv": {"options": X264},
    "closed.ts": {"options": X264},
    "open.mp4": {"options": X264 | {"x264-params": "open-gop=1:scenecut=0"}},
    "open.mkv": {"options": X264 | {"x264-params": "open-gop=1:scenecut=0"}},
    "open.ts": {"options": X264 | {"x264-params": "open-gop=1:scenecut=0"}},
    "refresh.ts": {"options": X264 | {"x264-params": "intra-refresh=1"}},
    "late.mp4": {"options": X264, "pts": range(1000, 1096)},
    "late.ts": {"options": X264, "pts": range(1000, 1096)},
    "uneven.mkv": {"options": X264, "rate": 100, "pts": list(accumulate(UNEVEN * 16, initial=77))[:96]},
    "hevc.mp4": {"codec": "libx265", "options": {"preset": "ultrafast"}},
    "vp9.webm": {"codec": "libvpx-vp9", "options": {"deadline": "realtime", "cpu-used": "8"}},
    "mpeg4.mp4": {"codec": "mpeg4", "options": {"bf": "2"}},
    "mpeg2.ts": {"codec": "mpeg2video", "options": {"bf": "2"}},
}


@pytest.mark.parametrize("samples", [3, 8])
@pytest.mark.parametrize("name", SEEKABLE)
def test_seeking_gives_what_decoding_in_order_gives(
    encode: Encode, monkeypatch: pytest.MonkeyPatch, name: str, samples: int
) -> None:
    path = encode(name, size=(160, 68), frames=96, gop=12, **SEEKABLE[name])  # type: ignore[arg-type]
    spec = DecodeSpec(64, 64, Uniform(samples), "auto")

    def decode() -> tuple[DecodedClip, np.ndarray]:
        out = np.zeros((samples, 3, 64, 64), np.uint16)
        return decode_clip(request(path), spec, out), out

    monkeypatch.setattr(sampling, "SEEK_PAYS", 0)
    clip, seeking = decode()
    monkeypatch.setattr(sampling, "SEEK_PAYS", 10**9)
    in_order, plain = decode()
    assert clip.motion == in_order.motion
    np.testing.assert_array_equal(seeking, plain)


def test_seeking_skips_frames(encode: Encode, monkeypatch: pytest.MonkeyPatch) -> None:
    path = encode("closed.mp4", size=(160, 68), frames=96, gop=12, options=X264)
    seen = []

    def counting(*arguments: object) -> object:
        for frame in read_frames(*arguments):  # type: ignore[arg-type]
            seen.append(frame.pts)
            yield frame

    monkeypatch.setattr(sampling, "read_frames", counting)
    spec = DecodeSpec(64, 64, Uniform(4), "auto")
    frames = list(sampling.select(lambda: opened(request(path), spec), spec))
    assert len(frames) == 4
    assert len(seen) < 40


def test_recording_cut_in_the_middle_starts_at_its_first_keyframe(
    encode: Encode, counted: Callable[[int], list[av.VideoFrame]], tmp_path: Path
) -> None:
    whole = encode("whole.ts", source=counted(60), options=LOSSLESS, gop=20).read_bytes()
    cut = tmp_path / "cut.ts"
    cut.write_bytes(whole[188 * 12 :])
    head = sampled(cut)
    assert head == list(range(head[0], head[0] + 8))
    assert head[0] % 20 == 0
    assert head[0] > 0
    assert sampled(cut, sampling="uniform", frame_samples=4) == [
        head[0] + index for index in shown_at(range(60 - head[0]), 1, 4)
    ]
