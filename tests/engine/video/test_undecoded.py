"""Opening without decoding: where it is done, where it is not, and that the frames are the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from tests.clips import Encode

from saliency_engine.config import MAX_PIXELS
from saliency_engine.facts import ProbeSpec
from saliency_engine.samplings import Head
from saliency_engine.types import ClipRequest, DecodeSpec
from saliency_engine.video import demuxer, undecoded
from saliency_engine.video.decode import decode_frames
from saliency_engine.video.h264_headers import states_reordering
from saliency_engine.video.probe import probe_clip

Opened = list[bool]
PROBE = ProbeSpec("auto", MAX_PIXELS, accept_short=False, confine="", count_frames=True)

VP9 = {"codec": "libvpx-vp9", "options": {"deadline": "realtime", "cpu-used": "8"}}
UNDECODED: dict[str, dict[str, Any]] = {
    "reordered.mp4": {"options": {"bf": "3"}},
    "straight.mov": {"options": {"bf": "0"}},
    "tagged.mp4": {"colorspace": 1, "color_range": 2, "rotation": 90},
    "vp9.mp4": VP9,
    "vp9.webm": VP9,
    "vp8.mkv": {"codec": "libvpx", "options": VP9["options"]},
    "prores.mov": {"codec": "prores_ks", "pix_fmt": "yuv422p10le"},
}
AS_ALWAYS: dict[str, dict[str, Any]] = {
    "h264.mkv": {},
    "h264.ts": {},
    "hevc.mp4": {"codec": "libx265"},
    "mpeg4.mp4": {"codec": "mpeg4"},
}


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Opened:
    """For each file that is opened from now on, whether nothing was decoded for it."""
    answers: Opened = []
    says_all: Callable[..., bool] = undecoded.says_all

    def noting(*arguments: Any) -> bool:
        answers.append(says_all(*arguments))
        return answers[-1]

    monkeypatch.setattr(demuxer, "says_all", noting)
    return answers


def request(path: Path) -> ClipRequest:
    return ClipRequest(str(path), path.stat().st_size, 0)


@pytest.mark.parametrize("name", UNDECODED)
def test_frames_and_facts_are_those_of_a_file_that_was_opened_as_always(
    encode: Encode, opened: Opened, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    path = encode(name, **UNDECODED[name])
    spec = DecodeSpec(64, 48, Head(8, 8), "auto")
    frames, clip = decode_frames(request(path), spec)
    facts = probe_clip(request(path), PROBE)
    assert opened
    assert all(opened)
    monkeypatch.setattr(demuxer, "says_all", lambda *_: False)
    others, another = decode_frames(request(path), spec)
    np.testing.assert_array_equal(frames, others)
    assert (clip.motion, clip.times, clip.signal) == (another.motion, another.times, another.signal)
    assert facts == probe_clip(request(path), PROBE)


@pytest.mark.parametrize("name", AS_ALWAYS)
def test_other_files_are_opened_as_always(encode: Encode, opened: Opened, name: str) -> None:
    decode_frames(request(encode(name, **AS_ALWAYS[name])), DecodeSpec(64, 48, Head(8, 8), "auto"))
    assert not any(opened)


def test_of_two_streams_the_best_one_is_chosen_as_always(encode: Encode, opened: Opened, tmp_path: Path) -> None:
    clip, both = encode("straight.mov", options={"bf": "0"}), tmp_path / "both.mp4"
    with av.open(str(clip)) as reader, av.open(str(both), "w") as writer:
        (source,) = reader.streams.video
        streams = [writer.add_stream_from_template(source) for _ in range(2)]
        for packet in [packet for packet in reader.demux(source) if packet.size]:
            for stream in streams:
                packet.stream = stream
                writer.mux(packet)
    decode_frames(request(both), DecodeSpec(64, 48, Head(8, 8), "auto"))
    assert opened == [False]


def test_a_file_with_sound_is_opened_without_decoding(encode: Encode, opened: Opened, tmp_path: Path) -> None:
    clip, both = encode("straight.mov", options={"bf": "0"}), tmp_path / "sound.mp4"
    with av.open(str(clip)) as reader, av.open(str(both), "w") as writer:
        stream = writer.add_stream_from_template(reader.streams.video[0])
        sound = writer.add_stream("aac", rate=48000)
        for packet in reader.demux(video=0):
            if packet.size:
                packet.stream = stream
                writer.mux(packet)
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 4800), np.float32), "fltp", "mono")
        silence.sample_rate = 48000
        writer.mux(sound.encode(silence))
        writer.mux(sound.encode(None))
    decode_frames(request(both), DecodeSpec(64, 48, Head(8, 8), "auto"))
    assert opened == [True]


# Parameter sets bit by bit: what no encoder at hand writes.


def number(value: int) -> str:
    """ue(v) of H.264 §9.1."""
    bits = f"{value + 1:b}"
    return "0" * (len(bits) - 1) + bits


def parameter_set(
    usability: str, *, poc: str = number(0) + number(2), profile: int = 100, matrices: str = "0"
) -> bytes:
    """A sequence parameter set of 320×240 pixels, which ends with ``usability``."""
    form = number(1) + number(0) + number(0) + "0" + matrices if profile == 100 else ""
    bits = f"{profile:08b}{0:08b}{31:08b}" + number(0) + form + number(0) + poc + number(3) + "0" + number(19)
    bits += number(14) + "1" + "1" + "0" + usability + "1"
    bits += "0" * (-len(bits) % 8)
    data = int(bits, 2).to_bytes(len(bits) // 8)
    return b"\x67" + b"".join(_kept_apart(data))


def _kept_apart(data: bytes) -> Iterator[bytes]:
    zeros = 0
    for byte in data:
        if zeros >= 2 and byte <= 3:
            yield b"\3"
            zeros = 0
        zeros = zeros + 1 if byte == 0 else 0
        yield bytes([byte])


def record(*sets: bytes) -> bytes:
    """An AVCDecoderConfigurationRecord."""
    return (
        bytes([1, 100, 0, 31, 0xFF, 0xE0 | len(sets)]) + b"".join(len(s).to_bytes(2) + s for s in sets) + b"\1\0\1\x68"
    )


def packet(*units: bytes) -> bytes:
    return b"".join(len(unit).to_bytes(4) + unit for unit in units)


SLICE = b"\x65\x88\x84"
RESTRICTION = "1" + "1" + number(0) + number(0) + number(10) + number(10) + number(2) + number(3)
BUFFERS = "1" + number(1) + "00000000" + 2 * (number(9) + number(70000) + "0") + 20 * "0"
PLAIN = "1" + "0" + "0" + "0" + "0" + "0" + "0" + "0" + "0" + RESTRICTION
EVERYTHING = (
    "1" + "1" + f"{255:08b}{4:016b}{3:016b}" + "11" + "1" + "1010" + "1" + 24 * "0" + "1" + number(0) + number(2)
)
EVERYTHING += "1" + f"{1:032b}{50:032b}" + "1" + BUFFERS + BUFFERS + "0" + "1" + RESTRICTION


@pytest.mark.parametrize(
    ("unit", "stated"),
    [
        (parameter_set(PLAIN), True),
        (parameter_set(EVERYTHING), True),
        (parameter_set(PLAIN, profile=66), True),
        (parameter_set(PLAIN, poc=number(2)), True),
        (parameter_set(PLAIN, poc=number(1) + "0" + number(2) + number(3) + number(2) + 2 * number(4)), True),
        (parameter_set("0"), False),
        (parameter_set(PLAIN.replace(RESTRICTION, "0")), False),
        (parameter_set(PLAIN.replace(number(2) + number(3), number(17) + number(3))), False),
        (parameter_set(PLAIN, matrices="1" + 8 * "0"), False),
        (parameter_set(PLAIN)[:9], False),
    ],
)
def test_only_a_parameter_set_that_states_the_reordering_is_believed(unit: bytes, stated: bool) -> None:
    assert states_reordering(record(unit), packet(SLICE)) is stated
    assert states_reordering(record(parameter_set(PLAIN), unit), packet(SLICE)) is stated
    assert states_reordering(record(unit), packet(unit, SLICE)) is stated


def test_what_is_not_clear_is_not_believed() -> None:
    good, other = parameter_set(PLAIN), parameter_set("0")
    assert states_reordering(record(good), packet(SLICE))
    assert not states_reordering(record(good), packet(other, SLICE))  # a set in the stream itself
    assert not states_reordering(record(good), packet(SLICE)[:-1])
    assert not states_reordering(record(good), b"")
    assert not states_reordering(record(), packet(good, SLICE))
    assert not states_reordering(b"\0\0\0\1" + good, packet(SLICE))
    assert not states_reordering(b"", packet(SLICE))
