"""From planes of code values to 16-bit R'G'B', exact to the rounding: matrices and pixel kernels.

Formulas: ITU-T H.273 §8.3 (equations 28 to 36 for the ranges, 49 to 54 for the matrices), with K_R and K_B from
its table 4. The transfer function (PQ, HLG) and the primaries are left as they are, so values stay gamma-coded.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from saliency_engine.errors import DecodeError
from saliency_engine.numerics.kernels import kernel

Affine = NDArray[np.float64]
"""Float64 ``[3, 4]``: R', G', B' in 0..65535 = columns 0..2 times the three planes' code values + column 3."""

WHITE = 65535.0
"""R', G' and B' of white. Rounding them to 8 bits instead moved the second student's mean by up to 0.0023."""
Plane = NDArray[Any]
"""Uint8 or uint16 ``[rows, line]``, C-contiguous; a line may be longer than the picture is wide."""

FULL_RANGE = 2  # AVCOL_RANGE_JPEG
IDENTITY, UNSPECIFIED = 0, 2  # AVCOL_SPC_RGB, AVCOL_SPC_UNSPECIFIED
_BT709 = (0.2126, 0.0722)
# H.273 MatrixCoefficients (FFmpeg's AVCOL_SPC_*): (K_R, K_B)
_WEIGHTS = {
    1: _BT709,
    2: _BT709,  # unspecified
    3: _BT709,  # reserved: a tag that says nothing
    4: (0.30, 0.11),  # FCC 47 CFR 73.682
    5: (0.299, 0.114),  # BT.601, 625 lines
    6: (0.299, 0.114),  # BT.601, 525 lines
    7: (0.212, 0.087),  # SMPTE 240M
    9: (0.2627, 0.0593),  # BT.2020, non-constant luminance
}
_UNKNOWN = {
    0: "identity (RGB) on Y'CbCr planes",
    8: "YCgCo",
    10: "BT.2020 constant luminance",
    11: "SMPTE 2085",
    12: "chromaticity-derived non-constant luminance",
    13: "chromaticity-derived constant luminance",
    14: "ICtCp",
    15: "IPT-C2",
    16: "YCgCo-Re",
    17: "YCgCo-Ro",
}


@cache  # 0.1 ms, for each of a clip's frames; nobody writes into it
def ycbcr_affine(matrix: int, full_range: bool, depth: int) -> Affine:
    """The map from Y'CbCr code values of ``depth`` bits (8..16) to R'G'B' in 0..65535, not yet rounded or clipped.

    ``matrix`` is an H.273 MatrixCoefficients number. Raises ``DecodeError`` for one that is no plain 3×3 matrix.
    """
    if matrix not in _WEIGHTS:
        name = _UNKNOWN.get(matrix, f"number {matrix}")
        raise DecodeError(f"colour matrix {name} is not supported; --color bt709 ignores the tag")
    kr, kb = _WEIGHTS[matrix]
    kg = 1.0 - kr - kb
    scale = 2.0 ** (depth - 8)
    luma_zero, luma_span, chroma_span = 16 * scale, 219 * scale, 224 * scale
    if full_range:
        luma_zero, luma_span, chroma_span = 0.0, 256 * scale - 1, 256 * scale - 1
    chroma_zero = 128 * scale
    red, blue = 2 * (1 - kr), 2 * (1 - kb)
    chroma = np.array([[0.0, red], [-blue * kb / kg, -red * kr / kg], [blue, 0.0]]) / chroma_span
    luma = np.full((3, 1), 1.0 / luma_span)
    bias = -luma * luma_zero - chroma.sum(axis=1, keepdims=True) * chroma_zero
    return np.ascontiguousarray(WHITE * np.hstack((luma, chroma, bias)))


@cache
def gray_affine(full_range: bool, depth: int) -> Affine:
    """As ``ycbcr_affine`` for luma alone: the chroma columns are zero, as if Cb and Cr were neutral."""
    affine = np.zeros((3, 4))
    affine[:, 0] = ycbcr_affine(1, full_range, depth)[:, 0]
    affine[:, 3] = 0.0 if full_range else -affine[0, 0] * 16 * 2.0 ** (depth - 8)
    return affine


@cache
def gbr_affine(depth: int) -> Affine:
    """The map from G, B, R planes of ``depth`` bits, full range, to R'G'B' in 0..65535."""
    affine = np.zeros((3, 4))
    affine[[0, 1, 2], [2, 0, 1]] = WHITE / (2**depth - 1)
    return affine


@kernel
def paint(planes: tuple[Plane, Plane, Plane], shifts: tuple[int, int], affine: Affine, out: NDArray[np.uint16]) -> None:
    """Write ``affine`` of three planes into ``out`` ``[3, height, width]``, rounded half up once and clipped.

    The second and third plane are subsampled by 2**shift horizontally and vertically: each of their samples is
    repeated (nearest neighbour).
    """
    first, second, third = planes
    shift_x, shift_y = shifts
    # float64, because with float32 some 1 in 10^5 values land on the other side of a rounding boundary. It is not
    # slower here, where the repeated chroma keeps the loop from vectorising.
    for row in range(out.shape[1]):
        for col in range(out.shape[2]):
            a = np.float64(first[row, col])
            b = np.float64(second[row >> shift_y, col >> shift_x])
            c = np.float64(third[row >> shift_y, col >> shift_x])
            for channel in range(3):
                value = affine[channel, 0] * a + affine[channel, 1] * b + affine[channel, 2] * c + affine[channel, 3]
                out[channel, row, col] = np.uint16(min(max(value + 0.5, 0.0), 65535.0))


@kernel
def luma_of_gbr(green: Plane, blue: Plane, red: Plane, out: Plane) -> None:
    """BT.709 luma of full-range planes into ``out``, same shape and type, rounded half up."""
    for row in range(out.shape[0]):
        for col in range(out.shape[1]):
            value = 0.7152 * green[row, col] + 0.0722 * blue[row, col] + 0.2126 * red[row, col]
            out[row, col] = np.uint16(value + 0.5)


@kernel
def absolute_difference(left: Plane, right: Plane, width: int) -> int:
    """Sum of |left − right| in code values over the first ``width`` samples of every line."""
    total = 0
    for row in range(left.shape[0]):
        for col in range(width):
            # Signed 64-bit: numba's int() of an unsigned sample stays unsigned, and a difference would wrap.
            total += int(abs(np.int64(left[row, col]) - np.int64(right[row, col])))
    return total
