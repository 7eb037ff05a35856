"""PQ and HLG pictures mapped to SDR: BT.2020 light of up to 1000 cd/m² to R'G'B' of BT.709 and a gamma of 2.4.

The steps, with their sources; docs/decoding.md says why these:

1. Code values to display light. PQ: the EOTF of ITU-R BT.2100-2, table 4. HLG: the inverse OETF of its table 5 and
   note 5c, then the OOTF of a display of 1000 cd/m² (system gamma 1.2, black 0). Light above 1000 cd/m² is clipped.
2. Each of R, G and B through the EETF of ITU-R BT.2390-7 §5.4.1 (also in BT.2408-7, annex 5), from 0 to 1000 cd/m² down
   to 0 to 203 cd/m². The latter is the reference white of HDR (BT.2408 §2.1), which becomes the white of SDR.
3. The primaries to BT.709's by the matrix that keeps the colour (ITU-R BT.2407-0 §2); what lies outside is clipped.
4. Light to code values by the inverse of BT.1886's EOTF with black at 0, a power of 1 / 2.4.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from av import VideoFrame
from numpy.typing import NDArray

from saliency_engine.errors import DecodeError
from saliency_engine.numerics.kernels import kernel
from saliency_engine.video.color import WHITE
from saliency_engine.video.transfer import transfer_of

PEAK, SDR_WHITE = 1000.0, 203.0  # cd/m²
_SYSTEM_GAMMA = 1.2
_SDR_GAMMA = 2.4
# PQ: constants of SMPTE ST 2084.
_M1, _M2 = 2610 / 16384, 2523 / 4096 * 128
_C1, _C2, _C3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
# HLG: constants of ARIB STD-B67.
_A, _B, _C = 0.17883277, 0.28466892, 0.55991073
_D65 = (0.3127, 0.3290)
_BT709, _BT2020, _UNSPECIFIED = 1, 9, 2
# H.273 ColourPrimaries, all with the white D65: x and y of red, green and blue.
_PRIMARIES = {
    _BT709: ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060)),
    _BT2020: ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046)),
    12: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),  # SMPTE EG 432-1, known as Display P3
}
# Light from 0 to PEAK in so many steps: between them the EETF is a straight line to 1 in 10^8.
_STEPS = 1 << 14
Table = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class ToneMap:
    """How a picture in PQ or HLG becomes SDR."""

    transfer: str
    """``pq`` or ``hlg``."""
    primaries: int
    """A key of ``_PRIMARIES``."""

    @staticmethod
    def of(frame: VideoFrame) -> ToneMap | None:
        """What ``frame`` needs by its tags; ``None`` for SDR.

        Raises ``DecodeError`` for primaries that are none of BT.2020, BT.709 and Display P3.
        """
        transfer, primaries = transfer_of(frame), int(frame.color_primaries)
        if transfer == "sdr":
            return None
        if primaries == _UNSPECIFIED:
            primaries = _BT2020  # those of BT.2100, which defines both transfers
        if primaries not in _PRIMARIES:
            raise DecodeError(
                f"{transfer.upper()} with the colour primaries number {primaries} cannot be mapped to SDR; --hdr plain "
                "takes the code values as they are"
            )
        return ToneMap(transfer, primaries)

    def apply(self, rgb: NDArray[np.uint16]) -> None:
        """Map R'G'B' ``[3, height, width]`` in place; 65535 is the highest code value before, and white after."""
        to_xyz = _to_xyz(self.primaries)
        matrix = np.linalg.inv(_to_xyz(_BT709)) @ to_xyz
        exponent = _SYSTEM_GAMMA - 1 if self.transfer == "hlg" else 0.0
        tables = _light(self.transfer), _shown(), _codes()
        _map(rgb, tables, matrix.astype(np.float32), to_xyz[1].astype(np.float32), np.float32(exponent))


@lru_cache
def _light(transfer: str) -> Table:
    """``[65536]``: of every code value the light, display light (PQ) or scene light (HLG); 1 is that of the peak."""
    code = np.arange(65536) / WHITE
    if transfer == "pq":
        return np.minimum(_from_pq(code) / PEAK, 1).astype(np.float32)
    return np.where(code <= 0.5, code**2 / 3, (np.exp((code - _C) / _A) + _B) / 12).astype(np.float32)


@lru_cache
def _shown() -> Table:
    """``[_STEPS + 1]``: light that SDR shows, 1 is its white, of display light in even steps from 0 to the peak."""
    top, most = _to_pq(PEAK), _to_pq(SDR_WHITE) / _to_pq(PEAK)
    knee = 1.5 * most - 0.5
    e1 = _to_pq(np.linspace(0, PEAK, _STEPS + 1)) / top
    t = np.maximum(e1 - knee, 0) / (1 - knee)
    spline = (2 * t**3 - 3 * t**2 + 1) * knee + (t**3 - 2 * t**2 + t) * (1 - knee) + (3 * t**2 - 2 * t**3) * most
    light = _from_pq(np.where(e1 < knee, e1, spline) * top) / SDR_WHITE
    return np.asarray(light, np.float32)


def _from_pq(code: NDArray[np.float64]) -> NDArray[np.float64]:
    """The light of PQ code values in [0, 1], in cd/m²."""
    power = code ** (1 / _M2)
    return np.asarray(10000 * (np.maximum(power - _C1, 0) / (_C2 - _C3 * power)) ** (1 / _M1))


def _to_pq(light: float | NDArray[np.float64]) -> NDArray[np.float64]:
    """The PQ code values in [0, 1] of ``light`` in cd/m²."""
    power = (np.asarray(light) / 10000) ** _M1
    return np.asarray(((_C1 + _C2 * power) / (1 + _C3 * power)) ** _M2)


@lru_cache
def _to_xyz(primaries: int) -> NDArray[np.float64]:
    """``[3, 3]``: light of these primaries to CIE XYZ; white has Y = 1 (SMPTE RP 177)."""
    columns = np.array([(x / y, 1, (1 - x - y) / y) for x, y in (*_PRIMARIES[primaries], _D65)]).T
    return np.asarray(columns[:, :3] * np.linalg.solve(columns[:, :3], columns[:, 3]))


@lru_cache
def _codes() -> Table:
    """``[65537]``: SDR code values in 0..65535 of the square root of light, which spares dark tones coarse steps."""
    return np.asarray(WHITE * np.linspace(0, 1, 65537) ** (2 / _SDR_GAMMA), np.float32)


@kernel
def _read_between(table: Table, place: np.float32) -> np.float32:
    """``table`` at ``place`` in [0, 1] of its length, on the straight line between two entries."""
    last = table.shape[0] - 1
    at = min(place, np.float32(1.0)) * np.float32(last)
    below = min(int(at), last - 1)
    return np.float32(table[below] + (at - np.float32(below)) * (table[below + 1] - table[below]))


@kernel
def _map(
    rgb: NDArray[np.uint16],
    tables: tuple[Table, Table, Table],
    matrix: NDArray[np.float32],
    luminance: NDArray[np.float32],
    exponent: np.float32,
) -> None:
    light, shown, codes = tables
    # Float32, and a table in place of the last power: 1.8 ms for 320×320 pixels of PQ instead of 4.0 (HLG 3.6, 6.2).
    for row in range(rgb.shape[1]):
        for col in range(rgb.shape[2]):
            red, green, blue = light[rgb[0, row, col]], light[rgb[1, row, col]], light[rgb[2, row, col]]
            if exponent > 0.0:
                scene = luminance[0] * red + luminance[1] * green + luminance[2] * blue
                gain = scene**exponent
                red, green, blue = red * gain, green * gain, blue * gain
            red, green, blue = _read_between(shown, red), _read_between(shown, green), _read_between(shown, blue)
            for channel in range(3):
                value = matrix[channel, 0] * red + matrix[channel, 1] * green + matrix[channel, 2] * blue
                rgb[channel, row, col] = np.uint16(
                    _read_between(codes, np.sqrt(max(value, np.float32(0.0)))) + np.float32(0.5)
                )
