"""Which frames count as damaged where recordings are joined: those of the damaged packet, and no namesake of theirs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import pytest
from tests.clips import Encode
from tests.decoding import decode

from saliency_engine.config import RunConfig
from saliency_engine.errors import DecodeError
from saliency_engine.types import ClipRequest, decode_spec
from saliency_engine.video.decode import decode_frames

FRAMES, GROUP = 40, 10
CODECS: dict[str, dict[str, Any]] = {
    "libx264": {"options": {"bf": "2", "x264-params": "scenecut=0"}},
    "libx265": {"options": {"x265-params": "scenecut=0:bframes=2:open-gop=0:keyint=10"}},
    "mpeg2video": {"options": {"b": "2M"}},
    "mpeg1video": {"options": {"b": "2M", "bf": "2"}},
}


def with_transport_error(source: Path, target: Path, frame: int) -> Path:
    """A copy of a TS with a receiver's mark of an error within the frame shown at that place; its bytes are well."""
    with av.open(str(source)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size and packet.pts is not None]
    place = sorted(packets, key=lambda packet: packet.pts or 0)[frame].pos
    assert place is not None
    content = bytearray(source.read_bytes())
    stream = content[place + 1 : place + 3]
    stream[0] &= 0x1F  # a packet that continues the frame; the mark in its first one counts for the frame before
    at = next(at for at in range(place + 188, len(content), 188) if content[at + 1 : at + 3] == stream)
    content[at + 1] |= 0x80
    target.write_bytes(content)
    return target


def joined(target: Path, *parts: Path) -> Path:
    """The parts one after the other, with the transport packets of each stream numbered on, so that none is missed."""
    content = bytearray(b"".join(part.read_bytes() for part in parts))
    following: dict[int, int] = {}
    for at in range(0, len(content), 188):
        stream = int.from_bytes(content[at + 1 : at + 3], "big") & 0x1FFF
        if content[at + 3] & 0x10:  # it has a payload
            content[at + 3] = content[at + 3] & 0xF0 | following.get(stream, 0)
            following[stream] = (following.get(stream, 0) + 1) % 16
    target.write_bytes(content)
    return target


@pytest.mark.parametrize("codec", CODECS)
def test_a_sound_frame_with_the_time_of_a_damaged_one(encode: Encode, tmp_path: Path, codec: str) -> None:
    sound = encode("long.ts", codec=codec, frames=FRAMES, gop=GROUP, **CODECS[codec])
    bad = with_transport_error(sound, tmp_path / "bad.ts", 26)
    # Uniform: frames 13, 40 and 66 of 80, that is 13 of one, 0 and 26 of the other. Head: 0, 26 and 52.
    uniform: dict[str, Any] = {"sampling": "uniform", "frame_samples": 3}
    head: dict[str, Any] = {"max_frames": 2 * FRAMES, "frame_samples": 3}
    same = joined(tmp_path / "same.ts", sound, sound)
    assert decode(same, **uniform)[0].frames == 3
    before = joined(tmp_path / "before.ts", bad, sound)
    assert decode(before, **uniform)[0].motion == decode(same, **uniform)[0].motion
    with pytest.raises(DecodeError, match=r"^1 of the 3 sampled frames are damaged: number 2$"):
        decode(before, **head)
    after = joined(tmp_path / "after.ts", sound, bad)
    with pytest.raises(DecodeError, match=r"^1 of the 3 sampled frames are damaged: number 3$"):
        decode(after, **uniform)
    assert decode(after, **head)[0].motion == decode(same, **head)[0].motion


@pytest.mark.parametrize("codec", CODECS)
def test_recordings_shorter_than_what_a_decoder_holds_back(encode: Encode, tmp_path: Path, codec: str) -> None:
    """The next recording's packets arrive before the damaged frame has come out.

    FFmpeg marks the last frame before the one with the error; what was built on it alone counts with it.
    """
    sound = encode("short.ts", codec=codec, frames=4, gop=4, **CODECS[codec])
    bad = with_transport_error(sound, tmp_path / "bad.ts", 0)
    path = joined(tmp_path / "joined.ts", sound, bad, sound, sound)
    every: dict[str, Any] = {"max_frames": 16, "frame_samples": 16}
    assert decode(joined(tmp_path / "same.ts", *4 * [sound]), **every)[0].frames == 16
    with pytest.raises(DecodeError, match=r"of the 16 sampled frames are damaged: number (3, )?4$"):
        decode(path, **every)


def test_several_damaged_frames_at_once(encode: Encode, tmp_path: Path) -> None:
    path = sound = encode("long.ts", codec="mpeg2video", frames=FRAMES, gop=GROUP, **CODECS["mpeg2video"])
    for frame in (5, 6, 7, 8, 9):
        path = with_transport_error(path, tmp_path / f"bad{frame}.ts", frame)
    every: dict[str, Any] = {"max_frames": FRAMES, "frame_samples": FRAMES}
    assert decode(sound, **every)[0].frames == FRAMES
    with pytest.raises(DecodeError, match=r"sampled frames are damaged: number (5, )?6, 7, 8, 9, 10$"):
        decode(path, **every)


def test_a_damaged_frame_behind_the_sample_costs_the_shots_alone(encode: Encode, tmp_path: Path) -> None:
    sound = encode("long.ts", codec="mpeg2video", frames=FRAMES, gop=GROUP, **CODECS["mpeg2video"])
    bad = with_transport_error(sound, tmp_path / "bad.ts", 26)
    spec = decode_spec(RunConfig(), 64, 48)
    _, clip = decode_frames(ClipRequest(str(bad), 0, 0, extra=("luma", "shots")), spec)
    assert clip.frames == 8
    assert clip.extras.values.keys() == {"y_avg", "y_var"}
    assert clip.extras.lacks["shots"].endswith(f"of the clip's {FRAMES} frames are damaged")
