"""Light and detail of luma, against their formulas in plain numpy."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from saliency_engine.numerics.texture import Plane, luma_of, texture_of


def reference(luma: NDArray[np.float64]) -> tuple[float, float, float, float]:
    """As VMAFx's ``_frame_visual_signals`` has it, for luma in [0, 1]."""
    around = luma[:-2, 1:-1] + luma[2:, 1:-1] + luma[1:-1, :-2] + luma[1:-1, 2:]
    laplacian = around - 4 * luma[1:-1, 1:-1]
    across, down = np.abs(np.diff(luma, axis=1)).mean(), np.abs(np.diff(luma, axis=0)).mean()
    noise = 1.4826 * np.median(np.abs(laplacian - np.median(laplacian)))
    return float(luma.std()), float(laplacian.var()), float((across + down) / 2), float(noise)


def make_plane(height: int, width: int, depth: int, kind: str) -> Plane:
    """Samples in lines that are longer than the picture is wide; what lies behind it must not count."""
    generator = np.random.default_rng(height * width + depth)
    top = (1 << depth) - 1
    samples = {
        "noise": generator.integers(0, top + 1, (height, width)),
        "ramp": np.add.outer(np.arange(height), 3 * np.arange(width)) % (top + 1),
        "checks": np.indices((height, width)).sum(axis=0) % 2 * top,
        "flat": np.full((height, width), top // 3),
    }[kind]
    plane = np.full((height, width + 13), top, np.uint8 if depth == 8 else np.uint16)
    plane[:, :width] = samples
    return plane


@pytest.mark.parametrize("kind", ["noise", "ramp", "checks", "flat"])
@pytest.mark.parametrize("depth", [8, 10, 12, 16])
@pytest.mark.parametrize("size", [(3, 3), (4, 3), (5, 6), (48, 65)])
def test_they_are_those_of_the_formulas(size: tuple[int, int], depth: int, kind: str) -> None:
    height, width = size
    plane = make_plane(height, width, depth, kind)
    luma = plane[:, :width].astype(np.float64) / (255 * 2 ** (depth - 8))
    assert texture_of(plane, width, depth) == pytest.approx(reference(luma), rel=1e-12, abs=1e-15)
    assert luma_of(plane, width, depth) == pytest.approx(((255 * luma).mean(), (255 * luma).var()), rel=1e-12)


@pytest.mark.parametrize("size", [(1, 1), (2, 9), (9, 2)])
def test_a_picture_without_an_inside_has_no_texture(size: tuple[int, int]) -> None:
    plane = make_plane(*size, 8, "noise")
    deviation, *others = texture_of(plane, size[1], 8)
    assert deviation == pytest.approx(plane[:, : size[1]].std() / 255)
    assert others == [0.0, 0.0, 0.0]


def test_ten_bits_of_the_same_picture_have_the_same_numbers() -> None:
    plane = make_plane(40, 50, 8, "noise")
    deep = plane.astype(np.uint16) << 2
    assert luma_of(deep, 50, 10) == pytest.approx(luma_of(plane, 50, 8), rel=1e-14)
    assert texture_of(deep, 50, 10) == pytest.approx(texture_of(plane, 50, 8), rel=1e-14)


def test_the_brightest_frames_do_not_overflow() -> None:
    plane = np.full((2160, 3840), 65535, np.uint16)
    mean, variance = luma_of(plane, 3840, 16)
    assert (mean, variance) == (65535 / 256, 0.0)
