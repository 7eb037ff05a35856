"""Pictures that nothing is built on are not decoded on the way to a frame: the frames stay the same."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from tests.clips import Encode
from tests.in_order import outcome

from saliency_engine.samplings import Uniform
from saliency_engine.types import ClipRequest, DecodeSpec
from saliency_engine.video import sampling
from saliency_engine.video.decode import decode_frames
from saliency_engine.video.spare import Spare

X264 = {"preset": "veryfast", "bf": "3", "x264-params": "scenecut=0:b-adapt=0"}
X265 = {"preset": "ultrafast", "x265-params": "log-level=none:bframes=3:b-adapt=0:scenecut=0"}
CLIPS: dict[str, dict[str, Any]] = {
    "pyramid.mp4": {"options": X264},
    "pyramid.ts": {"options": X264},
    "flat.mkv": {"options": X264 | {"x264-params": "scenecut=0:b-adapt=0:b-pyramid=none"}},
    "open.mp4": {"options": X264 | {"x264-params": "scenecut=0:b-adapt=0:open-gop=1"}, "gop": 24},
    "open.ts": {"options": X264 | {"x264-params": "scenecut=0:b-adapt=0:open-gop=1"}, "gop": 24},
    "slices.mp4": {"options": X264 | {"x264-params": "scenecut=0:b-adapt=0:slices=3"}},
    "hevc.mp4": {"codec": "libx265", "options": X265},
    "hevc.ts": {"codec": "libx265", "options": X265},
    "open.mkv": {"codec": "libx265", "options": X265, "gop": 24},
    "layers.mp4": {"codec": "libx265", "options": {k: f"{v}:temporal-layers=1" for k, v in X265.items() if "-" in k}},
}


def request(path: Path) -> ClipRequest:
    return ClipRequest(str(path), path.stat().st_size, 0)


def count_packets(monkeypatch: pytest.MonkeyPatch) -> Counter[bool]:
    """How many packets are decoded (False) and left out (True) from now on."""
    counts, takes = Counter[bool](), Spare.takes

    def counting(spare: Spare, packet: Any) -> bool:
        taken = takes(spare, packet)
        counts[taken] += bool(packet.size)
        return taken

    monkeypatch.setattr(Spare, "takes", counting)
    return counts


def refuse_decoding_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling, "_in_order", lambda *_: pytest.fail("decoded in order"))


@pytest.mark.parametrize("name", CLIPS)
def test_frames_are_the_same_and_pictures_are_left_out(
    encode: Encode, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    settings: Any = {"size": (160, 68), "frames": 96, "gop": 250} | CLIPS[name]
    path = encode(name, **settings)
    spec = DecodeSpec(64, 64, Uniform(5), "auto")
    refuse_decoding_in_order(monkeypatch)
    counts = count_packets(monkeypatch)
    frames, decoded = decode_frames(request(path), spec)
    assert counts[True] > 0.35 * counts.total()
    monkeypatch.setattr(Spare, "takes", lambda *_: False)
    everything, clip = decode_frames(request(path), spec)
    np.testing.assert_array_equal(frames, everything)
    assert decoded.motion == clip.motion
    assert decoded.times == clip.times


def with_times_of_decoding(source: Path, target: Path) -> Path:
    """A copy whose frames are said to be shown in the order in which they are decoded."""
    with av.open(str(source)) as reader, av.open(str(target), "w") as writer:
        stream = writer.add_stream_from_template(reader.streams.video[0])
        for number, packet in enumerate(reader.demux(video=0)):
            if packet.size:
                packet.pts = packet.dts = int(number / 25 / (packet.time_base or 1))
                packet.stream = stream
                writer.mux(packet)
    return target


@pytest.mark.parametrize("name", ["pyramid.mp4", "flat.mkv", "hevc.mp4"])
@pytest.mark.parametrize("frames", [33, 40, 50])
def test_times_that_are_not_those_of_the_pictures_are_not_believed(
    encode: Encode, tmp_path: Path, name: str, frames: int
) -> None:
    settings: Any = {"size": (160, 68), "frames": frames, "gop": 250} | CLIPS[name]
    path = encode(name, **settings)
    assert outcome(with_times_of_decoding(path, tmp_path / f"decoding-{name}")) == "same"


def test_nothing_is_left_out_where_pictures_may_be_fields(encode: Encode, monkeypatch: pytest.MonkeyPatch) -> None:
    options = X264 | {"x264-params": "scenecut=0:b-adapt=0:tff=1"}
    path = encode("fields.mp4", size=(160, 96), frames=40, gop=250, options=options)
    counts = count_packets(monkeypatch)
    assert outcome(path) == "same"
    assert counts[False]
    assert not counts[True]


def test_a_clip_whose_pictures_are_all_referred_to_is_decoded_as_before(
    encode: Encode, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = encode("plain.mp4", size=(160, 68), frames=40, gop=250, options={"bf": "0"})
    counts = count_packets(monkeypatch)
    refuse_decoding_in_order(monkeypatch)
    assert outcome(path) == "same"
    assert not counts[True]
