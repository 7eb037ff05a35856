"""Streams beside the one that is decoded fail no clip: words, pictures, data, sound, video without a decoder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from av.container import OutputContainer
from PIL import Image
from tests.clips import Encode, copy_video
from tests.decoding import assert_same_frames, decode

from saliency_engine.errors import DecodeError
from saliency_engine.samplings import Head
from saliency_engine.types import ClipRequest, DecodeSpec
from saliency_engine.video.container import opened
from saliency_engine.video.frames import read_packets

SIZE = (352, 288)


def clip_with(path: Path, plain: Path, add: Callable[[OutputContainer], object], timecode: bool = False) -> Path:
    """The video of ``plain``, its packets as they are: encoded again they may differ, for x264 reads memory that
    nobody has written. What ``add`` adds comes before it.
    """
    with av.open(str(path), "w") as container:
        if timecode:
            container.metadata["timecode"] = "01:00:00:00"
        add(container)
        copy_video(plain, container)
    return path


def test_other_streams_are_passed_over(tmp_path: Path, encode: Encode) -> None:
    plain = encode("plain.mp4", size=SIZE)
    (tmp_path / "words.srt").write_text("1\n00:00:00,000 --> 00:00:00,300\nhello\n\n", encoding="utf-8")
    Image.new("RGB", (800, 600), "white").save(tmp_path / "cover.png")
    cover = (tmp_path / "cover.png").read_bytes()

    with av.open(str(tmp_path / "words.srt")) as words:
        template = words.streams[0]
        assert_same_frames(
            clip_with(tmp_path / "words.mkv", plain, lambda out: out.add_stream_from_template(template)), plain
        )
    assert_same_frames(
        clip_with(tmp_path / "cover.mkv", plain, lambda out: out.add_attachment("cover.png", "image/png", cover)),
        plain,
    )
    assert_same_frames(
        clip_with(tmp_path / "font.mkv", plain, lambda out: out.add_attachment("a.ttf", "font/ttf", bytes(9000))),
        plain,
    )
    assert_same_frames(clip_with(tmp_path / "timecode.mov", plain, lambda _: None, timecode=True), plain)
    assert_same_frames(clip_with(tmp_path / "data.ts", plain, lambda out: out.add_data_stream("klv")), plain)


def test_sound_that_begins_in_mid_recording(encode: Encode, tmp_path: Path) -> None:
    """FFmpeg finds it while packets are read; PyAV then failed at the end of the file, and with it the run."""
    silent = encode("silent.ts", frames=9, size=(320, 192), options={"bf": "0"})
    late = tmp_path / "late.ts"
    with av.open(str(silent)) as reader, av.open(str(tmp_path / "sound.ts"), "w") as writer:
        stream = writer.add_stream_from_template(reader.streams.video[0])
        sound = writer.add_stream("mp2", rate=48000)
        for packet in [packet for packet in reader.demux(video=0) if packet.size]:
            packet.stream = stream
            writer.mux(packet)
        for _ in range(20):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 2304), np.int16), "s16", "stereo")
            frame.sample_rate = 48000
            writer.mux(sound.encode(frame))
        writer.mux(sound.encode(None))
    part = silent.read_bytes()
    copies = 600_000 // len(part)  # more than FFmpeg looks through in front and behind
    late.write_bytes(copies * part + (tmp_path / "sound.ts").read_bytes() + copies * part)
    with opened(ClipRequest(str(late), late.stat().st_size, 0), DecodeSpec(64, 48, Head(8, 8), "auto")) as clip:
        assert len(clip.container.streams) == 1
        packets = list(read_packets(clip))
        assert [bool(packet.size) for packet in packets] == [*[True] * 9 * (2 * copies + 1), False]


def test_a_video_stream_without_a_decoder_beside_one_that_has(encode: Encode, tmp_path: Path) -> None:
    plain = encode("plain.mp4", size=SIZE)
    path = tmp_path / "two.mov"
    with av.open(str(plain)) as source, av.open(str(path), "w") as container:
        streams = [container.add_stream_from_template(source.streams.video[0]) for _ in range(2)]
        for packet in source.demux(video=0):
            for stream in streams if packet.size else ():
                new = av.Packet(bytes(packet))
                new.pts, new.dts, new.time_base, new.stream = packet.pts, packet.dts, packet.time_base, stream
                new.is_keyframe, new.duration = packet.is_keyframe, packet.duration
                container.mux(new)
    data = path.read_bytes()
    for first, second in ((b"zzzz", b"avc1"), (b"avc1", b"zzzz")):
        parts = data.split(b"avc1")
        assert len(parts) == 3
        path.write_bytes(first.join(parts[:2]) + second + parts[2])
        assert_same_frames(path, plain)
    path.write_bytes(data.replace(b"avc1", b"zzzz"))
    with pytest.raises(DecodeError, match=r"^this FFmpeg has no decoder for the file's video codec$"):
        decode(path)
