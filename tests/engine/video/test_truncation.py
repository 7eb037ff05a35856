"""Clips that end too early, or are damaged: a status with a reason, never numbers of a part in silence."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow as pa
import pytest
from tests.clips import Encode, remuxed

from saliency_engine import Engine, RunConfig
from saliency_engine.errors import DecodeError
from saliency_engine.types import ClipRequest, decode_spec
from saliency_engine.video.decode import decode_clip

FRAMES = 40
VP9 = {"deadline": "realtime", "cpu-used": "8"}
CONTAINERS: dict[str, tuple[dict[str, Any], dict[str, str]]] = {
    "front.mp4": ({}, {"movflags": "faststart"}),
    "fragments.mp4": ({}, {"movflags": "frag_keyframe+empty_moov"}),
    "clip.mkv": ({}, {}),
    "clip.webm": ({"codec": "libvpx-vp9", "options": VP9}, {}),
    "clip.ts": ({}, {}),
    "clip.m2ts": ({}, {"mpegts_m2ts_mode": "1"}),
    "clip.avi": ({"codec": "mpeg4"}, {}),
    "clip.y4m": ({}, {}),
}


def decode(path: Path, **settings: Any) -> int:
    """The number of frames that the sample of ``path`` has."""
    spec = decode_spec(RunConfig(model="frequency_tuned_v1", **{"sampling": "uniform"} | settings), 32, 32)
    out = np.zeros((spec.frames_per_clip, 3, 32, 32), np.uint16)
    return decode_clip(ClipRequest(str(path), 0, 0), spec, out).frames


@pytest.fixture
def whole(encode: Encode, tmp_path: Path) -> Callable[[str], bytes]:
    """A clip of 40 frames in the container of that name."""

    def content(name: str) -> bytes:
        settings, muxing = CONTAINERS[name]
        path = encode(name.replace("m2ts", "ts"), size=(160, 96), frames=FRAMES, gop=8, **settings)
        return remuxed(path, tmp_path / name, muxing).read_bytes() if muxing else path.read_bytes()

    return content


@pytest.mark.parametrize("share", [0.71, 0.93])
@pytest.mark.parametrize("name", CONTAINERS)
def test_a_cut_clip_is_told_from_a_whole_one(
    whole: Callable[[str], bytes], tmp_path: Path, name: str, share: float
) -> None:
    content, path = whole(name), tmp_path / name
    path.write_bytes(content)
    assert decode(path) == 8
    path.write_bytes(content[: round(share * len(content))])
    with pytest.raises(DecodeError, match=r"^the file is cut off: .*\(--accept-short takes the frames that are there"):
        decode(path)
    with pytest.raises(DecodeError, match="cut off"):
        decode(path, sampling="head", max_frames=FRAMES)
    assert decode(path, sampling="head") == 8  # all eight lie before the cut


@pytest.mark.parametrize("name", ["front.mp4", "clip.mkv", "clip.webm", "clip.avi", "clip.y4m"])
def test_accept_short_takes_what_is_there(whole: Callable[[str], bytes], tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    content = whole(name)
    path.write_bytes(content[: round(0.7 * len(content))])
    frames = decode(path, frame_samples=FRAMES, accept_short=True)
    assert 8 <= frames < FRAMES


def test_clips_that_only_look_cut_are_taken(whole: Callable[[str], bytes], tmp_path: Path) -> None:
    live = io.BytesIO()
    mkv = tmp_path / "plain.mkv"
    mkv.write_bytes(whole("clip.mkv"))
    with av.open(str(mkv)) as source, av.open(live, "w", format="matroska", options={"live": "1"}) as container:
        stream = container.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = stream
                container.mux(packet)
    avi = bytearray(whole("clip.avi"))
    movie = avi.index(b"movi") - 4
    avi[movie : movie + 4] = b"\xff\xff\xff\xff"  # a recorder that never came back to fill it in
    mp4 = whole("front.mp4")
    clips = {
        "junk.mp4": mp4 + b"\x00\x01\x00\x00junk",
        "padding.mp4": mp4 + bytes(100),
        "live.mkv": live.getvalue(),
        "unfinished.avi": bytes(avi),
        "late.ts": whole("clip.ts")[100:],
    }
    for name, content in clips.items():
        path = tmp_path / name
        path.write_bytes(content)
        assert decode(path) == 8, name


def test_an_index_may_promise_more_than_there_is(whole: Callable[[str], bytes], tmp_path: Path) -> None:
    """An MP4 that was cut and mended: its boxes are in order, its index is that of the whole clip."""
    content, path = whole("front.mp4"), tmp_path / "less.mp4"
    start = content.index(b"mdat") - 4

    def mend(end: int) -> None:
        path.write_bytes(content[:start] + (end - start).to_bytes(4, "big") + content[start + 4 : end])

    mend((start + len(content)) // 2)
    with pytest.raises(DecodeError, match=r"cut off: its last frame is incomplete"):
        decode(path)
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size and not packet.is_corrupt]
    assert packets[-1].pos is not None
    mend(packets[-1].pos + packets[-1].size)
    with pytest.raises(DecodeError, match=rf"cut off: it holds {len(packets)} of the 40 frames in its index"):
        decode(path)


@pytest.mark.parametrize("name", ["short.mp4", "short.avi", "short.y4m"])
@pytest.mark.parametrize("sampling", ["head", "uniform"])
def test_too_few_frames_for_the_sample(encode: Encode, name: str, sampling: str) -> None:
    path = encode(name, size=(160, 96), frames=5, codec="mpeg4" if name.endswith("avi") else "libx264")
    with pytest.raises(DecodeError, match=r"the clip gives 5 of the 8 frames that the sample needs \(--accept-short"):
        decode(path, sampling=sampling)
    assert decode(path, sampling=sampling, accept_short=True) == 5
    assert decode(path, sampling=sampling, max_frames=5, frame_samples=5) == 5


def test_frames_of_uneven_length_are_no_lack(encode: Encode) -> None:
    path = encode("still.mp4", size=(160, 96), frames=12, rate=100, pts=[*range(11), 1000])
    assert decode(path) == 1  # nearly all the time one frame is shown


def test_rows_say_how_many_frames_a_short_clip_gave(encode: Encode, tmp_path: Path) -> None:
    rows = pa.record_batch({"src": [str(encode("short.mp4", frames=5)), str(encode("long.mp4", frames=12))]})
    memo = str(tmp_path / "memo.sqlite")
    outcomes = []
    for accept in (True, False):
        config = RunConfig(model="frequency_tuned_v1", memo=memo, accept_short=accept)
        with Engine(config) as engine:
            (batch,) = engine.process([rows])
        outcomes.append([(row["saliency_status"], row["saliency_error"]) for row in batch.to_pylist()])
    assert outcomes[0] == [("ok", "computed from 5 of 8 frames"), ("ok", None)]
    (status, reason), whole = outcomes[1]  # nothing short comes out of the memo
    assert (status, whole) == ("decode-failed", ("ok", None))
    assert "gives 5 of the 8 frames" in reason


def _damaged(path: Path, target: Path, frame: int) -> Path:
    """Break the coded picture of one frame of an MP4, behind its head."""
    content = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        packet = [packet for packet in container.demux(video=0) if packet.size][frame]
    assert packet.pos is not None
    middle = packet.pos + packet.size // 2
    content[middle : middle + 8] = b"\xff" * 8
    target.write_bytes(content)
    return target


@pytest.mark.parametrize("sampling", ["head", "uniform"])
def test_damage_is_counted_up_to_the_next_keyframe(encode: Encode, tmp_path: Path, sampling: str) -> None:
    clip = encode("groups.mp4", frames=24, gop=8, options={"bf": "0"})
    path = _damaged(clip, tmp_path / "damaged.mp4", 11)
    every = {"sampling": sampling, "max_frames": 24, "frame_samples": 24}
    assert decode(clip, **every) == 24
    with pytest.raises(DecodeError, match=r"^5 of the 24 sampled frames are damaged: number 12, 13, 14, 15, 16$"):
        decode(path, **every)
    assert decode(path, sampling="head", max_frames=8) == 8
    assert decode(path, sampling="uniform", frame_samples=2) == 2  # frames 6 and 18


def test_a_lost_transport_packet_is_noticed(encode: Encode, tmp_path: Path) -> None:
    content = encode("large.ts", frames=24, gop=8, options={"bf": "0"}).read_bytes()
    packets = [content[at : at + 188] for at in range(0, len(content), 188)]
    path = tmp_path / "lossy.ts"
    path.write_bytes(b"".join(packets[: len(packets) // 2] + packets[len(packets) // 2 + 1 :]))
    with pytest.raises(DecodeError, match="of the 24 sampled frames are damaged"):
        decode(path, frame_samples=24)
