"""Every pixel format of FFmpeg: values against a float reference, and no byte that is not the picture's."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys

import av
import numpy as np
import pytest
from av.video.format import names  # type: ignore[attr-defined]
from numpy.typing import NDArray
from tests.conftest import PROJECT
from tests.engine.video.test_color import reference
from tests.pixels import FORMATS, Codes, filtered, noise, outcomes, read_codes

from saliency_engine.errors import DecodeError
from saliency_engine.video.picture import Picture, Scaler

Rgb = NDArray[np.float64]
ROUNDING = 0.5 / 257 + 1e-6  # half a 16-bit level, in 8-bit levels


def test_no_format_depends_on_memory_that_is_not_the_pictures() -> None:
    """Alpha, padding inside pixels and lines, and whatever ``malloc`` gives: filled with other bytes each time."""
    digests = []
    for poison in (0, 0x55, 0xFF, -1):
        environment = os.environ | {"GLIBC_TUNABLES": f"glibc.malloc.perturb={max(poison, 0)}"}
        done = subprocess.run(
            [sys.executable, "-m", "tests.pixels", str(poison)],
            capture_output=True, text=True, check=True, cwd=PROJECT, env=environment,
        )  # fmt: skip
        digests.append(json.loads(done.stdout))
    assert {name.split()[0] for name in digests[0]} == set(FORMATS)
    for other in digests[1:]:
        assert [name for name in other if other[name] != digests[0][name]] == []


@pytest.mark.parametrize("size", [(22, 14), (7, 5), (2, 2)], ids=["even", "odd", "small"])
@pytest.mark.parametrize("name", FORMATS)
def test_values_of_every_format(name: str, size: tuple[int, int]) -> None:
    frame = noise(name, *size, 0xAA)
    width, height = size
    out = np.empty((3, height, width), np.uint16)
    picture = Picture.of(frame, "auto")
    picture.paint(Scaler(), out)
    expected, tolerance = expected_rgb(frame)
    assert np.abs(out.transpose(1, 2, 0) / 257 - expected).max() <= tolerance
    # Luma: the Y samples, or BT.709's of RGB, rounded to the depth of the planes.
    scale = (2**picture.layout.depth - 1) / 255
    luma = expected @ (0.2126, 0.7152, 0.0722) * scale if picture.layout.kind == "gbr" else luma_codes(frame)
    assert np.abs(picture.luma()[:, :width].astype(float) - luma).max() <= 0.5 + tolerance * scale + 1e-3


def luma_codes(frame: av.VideoFrame) -> NDArray[np.float64]:
    if frame.format.name == "uyyvyy411":
        return np.asarray(uyyvyy411(frame)[0], float)
    return read_codes(frame)[0].astype(float)


def expected_rgb(frame: av.VideoFrame) -> tuple[Rgb, float]:
    """R'G'B' in 0..255, and how far a picture may be from it."""
    pixel = frame.format
    if pixel.is_bayer:
        return bayer(frame), 0.5 if pixel.name.endswith("8") else 0.5 / 257 + ROUNDING
    codes = uyyvyy411(frame) if pixel.name == "uyyvyy411" else read_codes(frame)
    depth = pixel.components[0].bits
    if "f16" in pixel.name or "f32" in pixel.name:
        kind = (np.uint16, np.float16) if "f16" in pixel.name else (np.uint32, np.float32)
        with np.errstate(invalid="ignore"):
            values = [plane.astype(kind[0]).view(kind[1]).astype(float) for plane in codes]
        numbers = np.clip(np.nan_to_num(np.stack(values, -1), nan=0), 0, 1)
        return 255 * np.broadcast_to(numbers, (*numbers.shape[:2], 3)), 1.01 * ROUNDING
    if pixel.name in ("monow", "monob"):
        ones = codes[0] if pixel.name == "monob" else 1 - codes[0].astype(float)
        return 255.0 * np.stack(3 * [ones], -1), ROUNDING
    if pixel.name.startswith("xyz"):
        return digital_cinema(np.stack(codes, -1)), 0.01
    if pixel.is_rgb or pixel.has_palette or depth == 32:
        tops = [255] * 3 if pixel.has_palette else [(1 << part.bits) - 1 for part in pixel.components]
        rgb = np.stack([255.0 * plane / top for plane, top in zip(codes, tops, strict=False)], -1)
        tolerance = 0.5 + ROUNDING if depth < 8 else 1 / 256 if depth == 32 else ROUNDING
        return np.broadcast_to(rgb, (*rgb.shape[:2], 3)), tolerance
    height, width = codes[0].shape
    if len(codes) == 1:
        codes += 2 * [np.full((1, 1), 1 << depth - 1, np.uint32)]
    down, across = (1 << (length - 1).bit_length() for length in chroma_steps(frame, codes))
    whole = [codes[0], *(plane.repeat(down, 0).repeat(across, 1)[:height, :width] for plane in codes[1:])]
    return reference(np.stack(whole, -1), "bt709", pixel.name.startswith("yuvj"), depth), ROUNDING


def chroma_steps(frame: av.VideoFrame, codes: list[Codes]) -> tuple[int, int]:
    if codes[1].shape == (1, 1) and frame.format.components[-1].plane == 0:
        return codes[0].shape if len(frame.format.components) < 3 else (1, 4 if "411" in frame.format.name else 2)
    return 256 // frame.format.chroma_height(256), 256 // frame.format.chroma_width(256)


def uyyvyy411(frame: av.VideoFrame) -> list[Codes]:
    """Cb, Y, Y, Cr, Y, Y; FFmpeg's description says nothing that could be read by."""
    rows = np.frombuffer(memoryview(frame.planes[0]), np.uint8).reshape(frame.height, -1)
    groups = rows[:, : -(-frame.width // 4) * 6].reshape(frame.height, -1, 6).astype(np.uint32)
    luma = groups[..., [1, 2, 4, 5]].reshape(frame.height, -1)[:, : frame.width]
    return [luma, groups[..., 0], groups[..., 3]]


def bayer(frame: av.VideoFrame) -> Rgb:
    """The mean of those of the nine pixels around that have the colour; the edge mirrors."""
    name, (width, height) = frame.format.name, (frame.width, frame.height)
    kind = "u1" if name.endswith("8") else ">u2" if name.endswith("be") else "<u2"
    mosaic = np.frombuffer(memoryview(frame.planes[0]), kind).reshape(height, -1)[:, :width].astype(float)
    rgb = np.zeros((height, width, 3))
    for y, x, (channel, colour) in itertools.product(range(height), range(width), enumerate("rgb")):
        near = [(y, x)] if name[6 + y % 2 * 2 + x % 2] == colour else itertools.product(*(
            (abs(at - 1), at, at + 1 if at + 1 < end else at - 1) for at, end in ((y, height), (x, width))
        ))  # fmt: skip
        rgb[y, x, channel] = np.mean([mosaic[j, i] for j, i in near if name[6 + j % 2 * 2 + i % 2] == colour])
    return rgb if kind == "u1" else rgb / 257


def digital_cinema(codes: Codes) -> Rgb:
    """X'Y'Z' (SMPTE 428-1's gamma of 2.6) through the inverse of sRGB's matrix, to a gamma of 2.2."""
    to_xyz = np.array([[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750],
                       [0.0193339, 0.1191920, 0.9503041]])  # fmt: skip
    linear = (codes / 4095) ** 2.6 @ np.linalg.inv(to_xyz).T
    rgb: Rgb = 255 * np.clip(linear, 0, 1) ** (1 / 2.2)
    return rgb


@pytest.mark.parametrize("name", FORMATS)
def test_pictures_stored_bottom_up(name: str) -> None:
    """FFmpeg's vflip changes nothing but where the lines are: their distance becomes negative."""
    frame = noise(name, 13, 8)
    turned = filtered(frame, "vflip")
    if turned is None or turned.planes[0].line_size > 0:
        pytest.skip("FFmpeg's filters do not turn it")
    upright, flipped = list(outcomes(frame)), list(outcomes(turned))
    if frame.format.is_bayer:
        return  # another mosaic
    np.testing.assert_array_equal(flipped[-1], upright[-1][::-1])
    if len(frame.format.components) < 3 or frame.format.chroma_height(8) == 8:
        # Where rounding is a tie, the loop over the columns may differ from row to row.
        assert np.abs(flipped[0].astype(int) - upright[0][:, ::-1]).max() <= 1


@pytest.mark.parametrize("size", ["11:6:1:1", "8:5:3:2", "5:7:8:1"])
@pytest.mark.parametrize("name", FORMATS)
def test_memory_that_begins_anywhere(name: str, size: str) -> None:
    """What decoders do that cut columns off at the left: the address is no multiple of anything, lines go on."""
    cut = filtered(noise(name, 13, 8), "crop", f"{size}:exact=1")
    if cut is None:
        pytest.skip("FFmpeg's filters do not cut it")
    copy = av.VideoFrame(cut.width, cut.height, name)
    for source, target in zip(cut.planes, copy.planes, strict=True):
        rows = np.frombuffer(memoryview(source), np.uint8).reshape(source.height, -1)
        lines = np.frombuffer(memoryview(target), np.uint8).reshape(target.height, -1)
        lines[:] = rows[:, : lines.shape[1]]
    for expected, got in zip(outcomes(copy), outcomes(cut), strict=True):
        np.testing.assert_array_equal(got, expected)


def test_a_format_that_cannot_be_read_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert set(names) - set(FORMATS) == {name for name in names if not av.VideoFormat(name, 2, 2).components}
    for size in ((1, 1), (1, 5), (5, 1)):
        with pytest.raises(DecodeError, match=r"^pixel format bayer_rggb16le is not supported$"):
            Picture.of(noise("bayer_rggb16le", *size), "auto")
    # One that FFmpeg may gain some day: its samples lie where nothing is known of.
    monkeypatch.setattr("saliency_engine.video.samples._WORDS", {})
    with pytest.raises(DecodeError, match=r"^pixel format vuya is not supported$"):
        Picture.of(noise("vuya", 4, 4), "auto")
