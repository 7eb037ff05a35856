"""Colours against a float reference written from the standards; planes of every kind."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from tests.clips import Encode, planar_frame

from saliency_engine.errors import DecodeError
from saliency_engine.video.picture import Picture, Scaler

# ITU-R BT.601-7, BT.709-6, BT.2020-2, FCC 47 CFR 73.682, SMPTE 240M: tag, K_R, K_B
STANDARDS = {
    "bt601": (6, 0.299, 0.114),
    "bt709": (1, 0.2126, 0.0722),
    "bt2020": (9, 0.2627, 0.0593),
    "fcc": (4, 0.30, 0.11),
    "smpte240m": (7, 0.212, 0.087),
}
LIMITED, FULL = 1, 2
SUBSAMPLED = {"420": (2, 2), "422": (2, 1), "444": (1, 1), "440": (1, 2), "411": (4, 1), "410": (4, 4)}
Rgb = NDArray[np.float64]
ROUNDING = 0.5 / 257 + 1e-6  # half a 16-bit level, in 8-bit levels


def reference(codes: NDArray[Any], standard: str, full: bool, depth: int) -> NDArray[np.float64]:
    """R'G'B' in 0..255, clipped, not rounded, of Y'CbCr codes ``[..., 3]``."""
    _, kr, kb = STANDARDS[standard]
    y, cb, cr = np.moveaxis(codes.astype(np.float64), -1, 0)
    top = 2**depth - 1
    if full:
        y, cb, cr = y / top, (cb - 2 ** (depth - 1)) / top, (cr - 2 ** (depth - 1)) / top
    else:
        unit = 2 ** (depth - 8)
        y, cb, cr = (y / unit - 16) / 219, (cb / unit - 128) / 224, (cr / unit - 128) / 224
    red = y + 2 * (1 - kr) * cr
    blue = y + 2 * (1 - kb) * cb
    green = (y - kr * red - kb * blue) / (1 - kr - kb)
    rgb: NDArray[np.float64] = np.clip(np.stack((red, green, blue), -1), 0, 1)
    return 255 * rgb


def painted(frame: av.VideoFrame, width: int, height: int, mode: str = "auto") -> Rgb:
    """R'G'B' ``[height, width, 3]`` in 8-bit levels and fractions of them."""
    out = np.zeros((3, height, width), np.uint16)
    scaler = Scaler()
    Picture.of(frame, mode).paint(scaler, out)
    return out.transpose(1, 2, 0) / 257.0


def noise(pix_fmt: str, subsampling: tuple[int, int], depth: int, size: tuple[int, int] = (50, 38)) -> av.VideoFrame:
    width, height = size
    chroma = (-(-height // subsampling[1]), -(-width // subsampling[0]))
    random = np.random.default_rng(7)
    kind = np.uint8 if depth == 8 else np.uint16
    return planar_frame(
        pix_fmt, [random.integers(0, 1 << depth, shape, kind) for shape in ((height, width), chroma, chroma)]
    )


@pytest.mark.parametrize("resized", [False, True], ids=["own-size", "resized"])
@pytest.mark.parametrize("depth", [8, 10, 12])
@pytest.mark.parametrize("full", [False, True], ids=["limited", "full"])
@pytest.mark.parametrize("standard", STANDARDS)
def test_flat_patches_are_exact(standard: str, full: bool, depth: int, resized: bool) -> None:
    top = 2**depth - 1
    corners = [0, top // 16, top // 2, top * 15 // 16, top]
    patches = np.array(list(itertools.product(corners, repeat=3)))[::2]
    suffix = "" if depth == 8 else f"{depth}le"
    kind = np.uint8 if depth == 8 else np.uint16
    for codes in patches:
        shapes = ((24, 32), (12, 16), (12, 16))
        planes = [np.full(shape, code, kind) for shape, code in zip(shapes, codes, strict=True)]
        frame = planar_frame(f"yuv420p{suffix}", planes)
        frame.colorspace, frame.color_range = STANDARDS[standard][0], FULL if full else LIMITED
        size = (20, 28) if resized else (32, 24)
        error = np.abs(painted(frame, *size) - reference(codes, standard, full, depth))
        assert error.max() <= ROUNDING, f"Y'CbCr {codes.tolist()}"


def test_untagged_is_bt709_limited() -> None:
    frame = noise("yuv420p", (2, 2), 8)
    tagged = noise("yuv420p", (2, 2), 8)
    tagged.colorspace, tagged.color_range = 1, LIMITED
    np.testing.assert_array_equal(painted(frame, 50, 38), painted(tagged, 50, 38))


def test_jpeg_formats_are_full_range() -> None:
    tagged = noise("yuv420p", (2, 2), 8)
    tagged.color_range = FULL
    jpeg = noise("yuvj420p", (2, 2), 8)
    for size in ((50, 38), (40, 40)):
        np.testing.assert_array_equal(painted(jpeg, *size), painted(tagged, *size))


@pytest.mark.parametrize("size", [(50, 38), (32, 32)])
def test_bt709_mode_ignores_every_tag(size: tuple[int, int]) -> None:
    plain = painted(noise("yuv420p", (2, 2), 8), *size)
    for pix_fmt, matrix, tag in (("yuv420p", 9, FULL), ("yuv420p", 8, LIMITED), ("yuvj420p", 6, FULL)):
        frame = noise(pix_fmt, (2, 2), 8)
        frame.colorspace, frame.color_range = matrix, tag
        np.testing.assert_array_equal(painted(frame, *size, mode="bt709"), plain)


@pytest.mark.parametrize(("matrix", "name"), [(8, "YCgCo"), (10, "constant luminance"), (14, "ICtCp"), (0, "identity")])
def test_unknown_matrix_is_refused_with_the_way_out(matrix: int, name: str) -> None:
    frame = noise("yuv444p", (1, 1), 8)
    frame.colorspace = matrix
    with pytest.raises(DecodeError, match=rf"{name}.*--color bt709"):
        painted(frame, 50, 38)


@pytest.mark.parametrize("size", [(48, 40), (49, 39)], ids=["even", "odd"])
@pytest.mark.parametrize(
    ("pix_fmt", "depth"),
    [(f"yuv{name}p", 8) for name in SUBSAMPLED]
    + [(f"yuv{name}p{depth}le", depth) for name in ("420", "422", "444") for depth in (9, 10, 12, 14, 16)],
)
def test_chroma_is_repeated_at_the_models_size(pix_fmt: str, depth: int, size: tuple[int, int]) -> None:
    width, height = size
    across, down = SUBSAMPLED[pix_fmt[3:6]]
    frame = noise(pix_fmt, (across, down), depth, size)
    kind = np.uint8 if depth == 8 else np.uint16
    planes = [
        np.frombuffer(memoryview(plane), kind).reshape(plane.height, -1)[:, : plane.width] for plane in frame.planes
    ]
    whole = [planes[0]] + [plane.repeat(down, axis=0).repeat(across, axis=1)[:height, :width] for plane in planes[1:]]
    expected = reference(np.stack(whole, -1), "bt709", False, depth)
    np.testing.assert_allclose(painted(frame, width, height), expected, rtol=0, atol=ROUNDING)


@pytest.mark.parametrize("size", [(50, 38), (32, 32)], ids=["own-size", "resized"])
@pytest.mark.parametrize(
    ("planar", "other"),
    [
        ("yuv420p", "nv12"),
        ("yuv420p", "nv21"),
        ("yuv420p", "yuva420p"),
        ("yuv422p", "yuyv422"),
        ("yuv422p", "uyvy422"),
        ("yuv444p", "nv24"),
        ("yuv420p10le", "p010le"),
        ("yuv420p10le", "yuv420p10be"),
        ("yuv422p10le", "y210le"),
        ("yuv420p12le", "p012le"),
        ("yuv444p10le", "xv30le"),
    ],
)
def test_packed_and_semiplanar_formats_equal_planar(planar: str, other: str, size: tuple[int, int]) -> None:
    depth = int(planar.rpartition("p")[2].removesuffix("le") or 8)
    frame = noise(planar, SUBSAMPLED[planar[3:6]], depth)
    packed = frame.reformat(format=other, threads=1)
    np.testing.assert_array_equal(painted(packed, *size), painted(frame, *size))


@pytest.mark.parametrize(("pix_fmt", "depth"), [("gray", 8), ("gray10le", 10), ("gray16le", 16)])
def test_gray_is_luma_with_neutral_chroma(pix_fmt: str, depth: int) -> None:
    kind = np.uint8 if depth == 8 else np.uint16
    luma = np.linspace(0, 2**depth - 1, 24 * 32).astype(kind).reshape(24, 32)
    neutral = np.full_like(luma, 2 ** (depth - 1))
    expected = reference(np.stack((luma, neutral, neutral), -1), "bt709", False, depth)
    error = np.abs(painted(planar_frame(pix_fmt, [luma]), 32, 24) - expected)
    assert error.max() <= ROUNDING


def test_rgb_passes_unchanged() -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (24, 32, 3), np.uint8)
    for pix_fmt in ("rgb24", "bgr24", "gbrp", "bgra", "rgb0"):
        frame = av.VideoFrame.from_ndarray(pixels, "rgb24").reformat(format=pix_fmt, threads=1)
        np.testing.assert_array_equal(painted(frame, 32, 24), pixels)


def test_palette_is_looked_up() -> None:
    pixels = np.random.default_rng(1).integers(0, 2, (24, 32, 3), np.uint8) * 255
    index = (pixels[..., 0] & 1) | (pixels[..., 1] & 2) | (pixels[..., 2] & 4)
    frame = av.VideoFrame(32, 24, "pal8")
    frame.planes[0].update(index.astype(np.uint8).tobytes())
    colours = np.array([[255 * (i >> 2 & 1), 255 * (i >> 1 & 1), 255 * (i & 1), 255] for i in range(256)], np.uint8)
    frame.planes[1].update(colours.tobytes())
    np.testing.assert_array_equal(painted(frame, 32, 24), pixels)


@pytest.mark.parametrize("size", [(32, 24), (20, 28)], ids=["own-size", "resized"])
@pytest.mark.parametrize("depth", [8, 10, 12, 16])
def test_flat_rgb_is_rounded_once(depth: int, size: tuple[int, int]) -> None:
    top = 2**depth - 1
    kind = np.uint8 if depth == 8 else np.uint16
    for red, green, blue in itertools.product((0, top // 3, top // 2 + 1, top), repeat=3):
        planes = [np.full((24, 32), code, kind) for code in (green, blue, red)]
        frame = planar_frame("gbrp" if depth == 8 else f"gbrp{depth}le", planes)
        error = np.abs(painted(frame, *size) - 255 * np.array([red, green, blue]) / top)
        assert error.max() <= ROUNDING


def test_interlaced_frames_are_resized_whole(encode: Encode) -> None:
    path = encode("fields.mp4", frames=3, options={"flags": "+ildct+ilme", "x264-params": "tff=1"})
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
    assert frame.interlaced_frame
    planes = [
        np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, -1)[:, : plane.width] for plane in frame.planes
    ]
    np.testing.assert_array_equal(painted(frame, 320, 320), painted(planar_frame("yuv420p", planes), 320, 320))


@pytest.mark.parametrize("name", ["bigbuckbunny", "bikes", "carphone_pristine"])
def test_resizing_is_antialiased(name: str, source_frames: Callable[[str, int], list[av.VideoFrame]]) -> None:
    """Luma of a real clip is, but for rounding, what Pillow's antialiased bilinear filter gives in float."""
    frame = source_frames(name, 1)[0]
    plane = frame.planes[0]
    luma = np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, -1)[:, : plane.width]
    resized = Image.fromarray(luma.astype(np.float32)).resize((320, 320), Image.Resampling.BILINEAR)
    expected = np.clip((np.asarray(resized) - 16) * 255 / 219, 0, 255)
    got = painted(planar_frame("gray", [luma]), 320, 320)[..., 0]
    assert np.abs(got - expected).mean() < 0.05


def test_tags_written_by_an_encoder_arrive(encode: Encode) -> None:
    codes = np.array([120, 90, 200])
    shapes = ((48, 64), (24, 32), (24, 32))
    frame = planar_frame("yuv420p", [np.full(shape, code, np.uint8) for shape, code in zip(shapes, codes, strict=True)])
    path = encode("flat.mp4", source=[frame], options={"qp": "0"}, colorspace=6, color_range=FULL)
    with av.open(str(path)) as container:
        decoded = next(container.decode(video=0))
    error = np.abs(painted(decoded, 64, 48) - reference(codes, "bt601", True, 8))
    assert error.max() <= ROUNDING
