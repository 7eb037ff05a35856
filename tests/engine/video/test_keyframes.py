"""``--sampling keyframes`` gives the keyframes that decoding in order gives, and decodes nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.video.frame import PictureType
from tests.clips import Encode
from tests.encoders import SPOILED, write_clip
from tests.in_order import painted, shown_in_order

from saliency_engine.config import RunConfig
from saliency_engine.errors import DecodeError
from saliency_engine.types import ClipRequest, decode_spec
from saliency_engine.video import keyframes
from saliency_engine.video.container import OpenClip
from saliency_engine.video.decode import decode_frames
from saliency_engine.video.frames import Shown
from saliency_engine.video.keyframes import spread

X264 = {"preset": "veryfast", "bf": "3"}
OPEN = X264 | {"x264-params": "open-gop=1:scenecut=0"}
CLIPS: dict[str, dict[str, Any]] = {
    "closed.mp4": {"options": X264},
    "closed.mkv": {"options": X264},
    "closed.ts": {"options": X264},
    "open.mp4": {"options": OPEN},
    "open.ts": {"options": OPEN},
    "hevc.mp4": {"codec": "libx265", "options": {"preset": "ultrafast"}},
    "vp9.webm": {"codec": "libvpx-vp9", "options": {"deadline": "realtime", "cpu-used": "8"}},
    "mpeg4.mp4": {"codec": "mpeg4", "options": {"bf": "2"}},
    "mpeg2.ts": {"codec": "mpeg2video", "options": {"bf": "2"}},
    "each.avi": {"codec": "mjpeg", "pix_fmt": "yuvj420p"},
}


def spec_of(samples: int) -> Any:
    config = RunConfig(model="frequency_tuned_v1", sampling="keyframes", frame_samples=samples, color="bt709")
    return decode_spec(config, 48, 32)


@pytest.mark.parametrize("samples", [3, 11])
@pytest.mark.parametrize("name", CLIPS)
def test_the_keyframes_of_decoding_in_order(
    encode: Encode, monkeypatch: pytest.MonkeyPatch, name: str, samples: int
) -> None:
    settings: dict[str, Any] = {"size": (160, 68), "frames": 60, "gop": 12} | CLIPS[name]
    path = encode(name, **settings)
    frames = [frame for frame in shown_in_order(path) if frame.key_frame and frame.pict_type == PictureType.I]
    times = np.array([frame.pts for frame in frames], np.int64)
    assert len(frames) >= 5
    decoded: list[int] = []
    decode_one = keyframes._decode_one

    def counting(clip: OpenClip, key: int) -> Shown | None:
        decoded.append(key)
        return decode_one(clip, key)

    monkeypatch.setattr(keyframes, "_decode_one", counting)
    monkeypatch.setattr(keyframes, "_in_order", lambda _: pytest.fail("other frames are decoded"))
    got, clip = decode_frames(ClipRequest(str(path), path.stat().st_size, 0), spec_of(samples))
    indices = [
        round(float(np.abs(times - at).argmin())) for at in np.array(clip.times) / float(frames[0].time_base or 1)
    ]
    assert len(decoded) == len(got) == min(samples, len(frames)) == len(set(indices))
    np.testing.assert_array_equal(got, painted(frames, indices)[: len(got)])


def test_they_are_spread_by_time() -> None:
    keys = np.array([0, 10, 20, 30, 40, 50, 60, 70], np.int64)
    assert spread(keys, 80, 4) == [1, 3, 5, 7]
    assert spread(keys, 80, 8) == list(range(8))
    assert spread(keys, 80, 20) == list(range(8))
    # Where a stretch has no keyframe of its own, others stand in: there are enough.
    assert spread(np.array([0, 1, 2, 3, 4000], np.int64), 4001, 4) == [1, 2, 3, 4]
    assert spread(np.array([0, 3997, 3998, 3999, 4000], np.int64), 4001, 4) == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("suffix", "spoiled"),
    [
        ("mkv", "claims"),
        ("mp4", "no index"),
        ("avi", "no index"),
        ("mp4", "cut"),
        ("mkv", "leap"),
        ("ts", "late"),
        ("ts", "twice"),
    ],
)
def test_what_packets_claim_is_not_believed(tmp_path: Path, suffix: str, spoiled: str) -> None:
    whole, path = tmp_path / f"whole.{suffix}", tmp_path / f"clip.{suffix}"
    assert write_clip(whole, "libx264", "short")
    SPOILED[spoiled](whole, path)
    frames = [frame for frame in shown_in_order(path) if frame.key_frame and frame.pict_type == PictureType.I]
    got, _ = decode_frames(ClipRequest(str(path), path.stat().st_size, 0), spec_of(11))
    np.testing.assert_array_equal(got, painted(frames, range(11))[: len(frames)])


def test_interlaced_h264_is_decoded_in_order(encode: Encode, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other field of a keyframe may be in a packet of its own."""
    path = encode("fields.mp4", size=(160, 96), frames=60, gop=12, options=X264 | {"x264-params": "tff=1"})
    frames = [frame for frame in shown_in_order(path) if frame.key_frame and frame.pict_type == PictureType.I]
    assert frames[0].interlaced_frame
    in_order, calls = keyframes._in_order, list[OpenClip]()

    def counting(clip: OpenClip) -> Iterator[Shown]:
        calls.append(clip)
        return in_order(clip)

    monkeypatch.setattr(keyframes, "_in_order", counting)
    got, _ = decode_frames(ClipRequest(str(path), path.stat().st_size, 0), spec_of(11))
    np.testing.assert_array_equal(got, painted(frames, range(len(frames))))
    assert calls


def test_parameters_that_change_in_a_packet_that_nobody_asked_for(encode: Encode, tmp_path: Path) -> None:
    """They are those of the second recording in the file, and come with the first of its two keyframes."""
    data = b""
    for qp, count, start in (("20", 12, 0), ("35", 24, 12)):
        source = encode(f"{qp}.mp4", size=(160, 96), frames=count, gop=12, options={"bf": "0", "qp": qp})
        with av.open(str(source)) as reader, av.open(str(tmp_path / "part.flv"), "w") as writer:
            stream = reader.streams.video[0]
            copied = writer.add_stream_from_template(stream)
            for packet in reader.demux(stream):
                if packet.pts is not None and packet.dts is not None and packet.duration:
                    packet.pts += start * packet.duration
                    packet.dts += start * packet.duration
                    packet.stream = copied
                    writer.mux(packet)
        part = (tmp_path / "part.flv").read_bytes()
        data += part[13:] if data else part
    path = tmp_path / "joined.flv"
    path.write_bytes(data)
    frames = [frame for frame in shown_in_order(path) if frame.key_frame and frame.pict_type == PictureType.I]
    assert len(frames) == 3
    got, _ = decode_frames(ClipRequest(str(path), path.stat().st_size, 0), spec_of(2))
    np.testing.assert_array_equal(got, painted(frames, [0, 2]))


def test_a_clip_without_keyframes_says_so(encode: Encode, tmp_path: Path) -> None:
    path = encode("refresh.ts", size=(160, 68), frames=60, gop=12, options={"x264-params": "intra-refresh=1"})
    SPOILED["late"](path, tmp_path / "late.ts")
    path = tmp_path / "late.ts"
    with pytest.raises(DecodeError, match="none of the clip's frames is a keyframe: give --sampling uniform or head"):
        decode_frames(ClipRequest(str(path), path.stat().st_size, 0), spec_of(3))
