"""What a container hides at the edges is not part of the picture."""

from __future__ import annotations

import struct
from pathlib import Path

import av
import numpy as np
import pytest
from tests.clips import Encode, planar_frame, remuxed
from tests.decoding import decode
from tests.headers import with_box, with_element

from saliency_engine.config import RunConfig
from saliency_engine.errors import DecodeError
from saliency_engine.types import ClipRequest, decode_spec
from saliency_engine.video.container import opened
from saliency_engine.video.cropping import WHOLE, Crop

WIDTH, HEIGHT = 96, 64
CROPS = [Crop(8, 4, 2, 16), Crop(bottom=8), Crop(left=3, top=1), Crop(1, 1, 1, 1), Crop(right=95, bottom=63)]
EDGES = {"top": b"\x54\xbb", "bottom": b"\x54\xaa", "left": b"\x54\xcc", "right": b"\x54\xdd"}


def pictures(pix_fmt: str, crop: Crop = WHOLE) -> list[av.VideoFrame]:
    """Four frames of noise without what ``crop`` hides."""
    form = av.VideoFormat(pix_fmt, WIDTH, HEIGHT)
    kind = np.uint8 if form.components[0].bits == 8 else np.uint16
    width, height = crop.leaves(WIDTH, HEIGHT)
    frames = []
    for seed in range(4):
        planes = []
        for part in sorted(form.components, key=lambda part: part.plane):
            noise = np.random.default_rng([seed, part.plane]).integers(16, 236, (part.height, part.width), kind)
            across, down = WIDTH // part.width, HEIGHT // part.height
            top, left = crop.top // down, crop.left // across
            planes.append(noise[top : top - -height // down, left : left - -width // across])
        frames.append(planar_frame(pix_fmt, planes))
    return frames


def with_pixel_crop(source: Path, crop: Crop, track: int = 0) -> Path:
    """A copy of a Matroska file whose ``track``-th video has PixelCrop elements."""
    extra = b"".join(EDGES[name] + b"\x81" + bytes([getattr(crop, name)]) for name in EDGES)
    return with_element(source, extra, track=track, in_video=True)


def with_aperture(source: Path, *numbers: int) -> Path:
    """A copy of an MP4 or MOV file with that ``clap`` box."""
    return with_box(source, struct.pack(">I4s8i", 40, b"clap", *numbers))


def aperture_of(crop: Crop) -> tuple[int, ...]:
    """Width, height, and how far the middle is moved to the right and down, as fractions."""
    width, height = crop.leaves(WIDTH, HEIGHT)
    return width, 1, height, 1, crop.left - crop.right, 2, crop.top - crop.bottom, 2


def assert_same(path: Path, reference: Path) -> None:
    for sampling in ("head", "uniform"):
        for size in ((WIDTH, HEIGHT), (40, 56), (20, 12)):
            width, height = size
            clip, frames = decode(path, width=width, height=height, frame_samples=4, sampling=sampling)
            other, expected = decode(reference, width=width, height=height, frame_samples=4, sampling=sampling)
            np.testing.assert_array_equal(frames, expected)
            assert clip.motion == other.motion


@pytest.mark.parametrize("crop", CROPS, ids=str)
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p", "gbrp10le"])
def test_what_matroska_crops_is_not_seen(encode: Encode, pix_fmt: str, crop: Crop) -> None:
    path = encode("whole.mkv", source=pictures(pix_fmt), codec="ffv1", pix_fmt=pix_fmt)
    reference = encode("reference.mkv", source=pictures(pix_fmt, crop), codec="ffv1", pix_fmt=pix_fmt)
    assert_same(with_pixel_crop(path, crop), reference)


@pytest.mark.parametrize("crop", CROPS, ids=str)
@pytest.mark.parametrize("name", ["whole.mp4", "whole.mov"])
def test_what_a_clean_aperture_leaves_out_is_not_seen(encode: Encode, name: str, crop: Crop) -> None:
    path = encode(name, source=pictures("yuv444p"), pix_fmt="yuv444p", options={"qp": "0"})
    reference = encode("reference.mkv", source=pictures("yuv444p", crop), codec="ffv1", pix_fmt="yuv444p")
    assert_same(with_aperture(path, *aperture_of(crop)), reference)


def test_a_picture_is_cropped_before_it_is_turned(encode: Encode) -> None:
    crop = Crop(8, 4, 2, 16)
    turned = {"rotation": 90, "pix_fmt": "yuv444p", "options": {"qp": "0"}}
    path = encode("turned.mp4", source=pictures("yuv444p"), **turned)  # type: ignore[arg-type]
    reference = encode("reference.mp4", source=pictures("yuv444p", crop), **turned)  # type: ignore[arg-type]
    assert_same(with_aperture(path, *aperture_of(crop)), reference)


@pytest.mark.parametrize(
    "numbers",
    [
        (0, 1, 40, 1, 0, 1, 0, 1),
        (40, 0, 40, 1, 0, 1, 0, 1),
        (40, 1, -40, 1, 0, 1, 0, 1),
        (200, 1, 40, 1, 0, 1, 0, 1),
        (40, 1, 40, 1, 60, 1, 0, 1),
        (40, 1, 40, 1, 0, 1, -60, 1),
        (40, 1, 40, 1, 0, 1, 2**31 - 1, 1),
        (96, 1, 64, 1, 0, 1, 0, 1),
    ],
    ids=str,
)
def test_an_aperture_without_sense_hides_nothing(encode: Encode, numbers: tuple[int, ...]) -> None:
    path = encode("whole.mp4", source=pictures("yuv444p"), pix_fmt="yuv444p", options={"qp": "0"})
    assert_same(with_aperture(path, *numbers), path)


@pytest.mark.parametrize("middle", [(0, 1), (3, 1), (-5, 2), (1, 3)], ids=str)
def test_an_aperture_of_fractions_is_rounded_as_ffmpeg_rounds_it(
    encode: Encode, tmp_path: Path, middle: tuple[int, int]
) -> None:
    """PAL's aperture, 702 + 10/11 of 720 columns. FFmpeg writes into Matroska what its demuxer of MP4 makes of it."""
    source = [frame.reformat(720, 64, "yuv444p", threads=1) for frame in pictures("yuv444p")]
    path = with_aperture(
        encode("pal.mp4", source=source, pix_fmt="yuv444p", options={"qp": "0"}), 7732, 11, 64, 1, *middle, 0, 1
    )
    crops = [read_crop(path), read_crop(remuxed(path, tmp_path / "pal.mkv", {}))]
    assert crops[0] == crops[1]
    assert crops[0].left + crops[0].right in (17, 18)


def read_crop(path: Path) -> Crop:
    with opened(ClipRequest(str(path), 0, 0), decode_spec(RunConfig(model="frequency_tuned_v1"), 64, 64)) as clip:
        return clip.crop


def test_crops_that_leave_nothing(encode: Encode) -> None:
    """FFmpeg refuses a Matroska track that is cropped away. Frames smaller than their header says stay whole."""
    path = encode("whole.mkv", source=pictures("yuv420p"), codec="ffv1")
    with pytest.raises(DecodeError, match="cannot be opened as video: Invalid data"):
        decode(with_pixel_crop(path, Crop(left=48, right=48)))
    assert Crop(left=50).leaves(50, 64) == (50, 64)


def test_each_track_has_its_own_crop(tmp_path: Path) -> None:
    path = tmp_path / "tracks.mkv"
    with av.open(str(path), "w") as container:
        container.add_stream("aac", 48000)
        streams = [container.add_stream("ffv1", 25) for _ in range(2)]
        for stream in streams:
            assert isinstance(stream, av.VideoStream)
            stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for pts, frame in enumerate(pictures("yuv420p")):
            for stream in streams:
                assert isinstance(stream, av.VideoStream)
                frame.pts = pts
                container.mux(stream.encode(frame))
    for video, crop in ((0, Crop(left=4)), (1, WHOLE)):
        assert read_crop(with_pixel_crop(path, Crop(left=4), video)) == crop


def test_damaged_headers_hide_nothing_and_end(encode: Encode) -> None:
    """Whatever bytes stand there, reading them ends, and raises nothing but ``DecodeError``."""
    mkv = with_pixel_crop(encode("whole.mkv", source=pictures("yuv420p"), codec="ffv1"), Crop(left=4))
    mp4 = with_aperture(
        encode("whole.mp4", source=pictures("yuv444p"), pix_fmt="yuv444p", options={"qp": "0"}),
        *aperture_of(Crop(left=4)),
    )
    random = np.random.default_rng(0)
    for path in (mkv, mp4):
        data = path.read_bytes()
        start = data.index(b"\x16\x54\xae\x6b") if path is mkv else data.rindex(b"moov")
        for _ in range(60):
            damaged = bytearray(data)
            for at in random.integers(start, min(start + 900, len(data)), 3):
                damaged[at] = random.integers(256)
            target = path.with_name("damaged" + path.suffix)
            target.write_bytes(damaged)
            try:
                decode(target, accept_short=True)
            except DecodeError:
                continue
