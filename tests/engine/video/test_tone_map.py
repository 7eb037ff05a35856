"""PQ and HLG mapped to SDR, against a float64 reference written from the standards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from tests.clips import Encode, planar_frame

from saliency_engine.config import RunConfig
from saliency_engine.errors import DecodeError
from saliency_engine.types import ClipRequest, decode_spec
from saliency_engine.video.decode import decode_frames
from saliency_engine.video.picture import Picture, Scaler
from saliency_engine.video.tone_map import ToneMap

Floats = NDArray[np.float64]
PQ, HLG = 16, 18
TAGS = {"pq": PQ, "hlg": HLG}
CHROMATICITIES = {
    1: [(0.640, 0.330), (0.300, 0.600), (0.150, 0.060)],  # BT.709
    9: [(0.708, 0.292), (0.170, 0.797), (0.131, 0.046)],  # BT.2020
    12: [(0.680, 0.320), (0.265, 0.690), (0.150, 0.060)],  # SMPTE EG 432-1
}
LUMINANCE = np.array([0.2627, 0.6780, 0.0593])  # BT.2020


# The reference: light in cd/m², code values from 0 to 1


def pq_eotf(code: Floats) -> Floats:
    """ITU-R BT.2100-2, table 4."""
    m1, m2, c1, c2, c3 = 0.1593017578125, 78.84375, 0.8359375, 18.8515625, 18.6875
    root = np.power(code, 1 / m2)
    return np.asarray(10000 * np.power(np.maximum(root - c1, 0) / (c2 - c3 * root), 1 / m1))


def pq_inverse(light: Floats | float) -> Floats:
    m1, m2, c1, c2, c3 = 0.1593017578125, 78.84375, 0.8359375, 18.8515625, 18.6875
    y = np.power(np.asarray(light) / 10000, m1)
    return np.asarray(np.power((c1 + c2 * y) / (1 + c3 * y), m2))


def hlg_eotf(code: Floats) -> Floats:
    """ITU-R BT.2100-2, table 5, for a display of 1000 cd/m² whose black is 0; ``code`` is ``[..., 3]``."""
    a = 0.17883277
    b, c = 1 - 4 * a, 0.5 - a * np.log(4 * a)
    scene = np.where(code <= 0.5, code**2 / 3, (np.exp((code - c) / a) + b) / 12)
    return np.asarray(1000 * (scene @ LUMINANCE)[..., None] ** 0.2 * scene)


def hlg_inverse(light: Floats) -> Floats:
    a = 0.17883277
    b, c = 1 - 4 * a, 0.5 - a * np.log(4 * a)
    luminance = np.maximum((light / 1000) @ LUMINANCE, 1e-30)[..., None]
    scene = light / 1000 * luminance ** (1 / 1.2 - 1)
    return np.asarray(np.where(scene <= 1 / 12, np.sqrt(3 * scene), a * np.log(np.maximum(12 * scene - b, 1e-9)) + c))


def eetf(light: Floats, black: float = 0, white: float = 1000, least: float = 0, most: float = 203) -> Floats:
    """ITU-R BT.2390-7 §5.4.1, step by step as it stands there."""
    low, span = pq_inverse(black), pq_inverse(white) - pq_inverse(black)
    e1 = np.clip((pq_inverse(light) - low) / span, 0, 1)
    min_lum, max_lum = (pq_inverse(least) - low) / span, (pq_inverse(most) - low) / span
    ks = 1.5 * max_lum - 0.5
    t = (e1 - ks) / (1 - ks)
    p = (2 * t**3 - 3 * t**2 + 1) * ks + (t**3 - 2 * t**2 + t) * (1 - ks) + (-2 * t**3 + 3 * t**2) * max_lum
    e2 = np.where(e1 < ks, e1, p)
    e3 = e2 + min_lum * (1 - e2) ** 4
    return pq_eotf(e3 * span + low)


def to_bt709(primaries: int) -> Floats:
    """SMPTE RP 177: the matrix from light of these primaries to light of BT.709's."""

    def to_xyz(number: int) -> Floats:
        p = np.array([[x, y, 1 - x - y] for x, y in CHROMATICITIES[number]]).T
        white = np.array([0.3127, 0.3290, 1 - 0.3127 - 0.3290]) / 0.3290
        return np.asarray(p @ np.diag(np.linalg.inv(p) @ white))

    return np.asarray(np.linalg.inv(to_xyz(1)) @ to_xyz(primaries))


def light_of(code: Floats, transfer: str, primaries: int = 9) -> Floats:
    """What SDR shows, 1 is white, of R'G'B' ``[..., 3]`` in [0, 1]."""
    light = pq_eotf(code) if transfer == "pq" else hlg_eotf(code)
    return np.asarray(np.clip((eetf(light) / 203) @ to_bt709(primaries).T, 0, 1))


def levels(light: Floats) -> Floats:
    """Inverse of ITU-R BT.1886 with black at 0; 65535 is white."""
    return np.asarray(65535 * light ** (1 / 2.4))


def mapped(code: NDArray[np.uint16], transfer: str, primaries: int = 9) -> Floats:
    """Ours, of ``[n, 3]``, in 16-bit levels."""
    rgb = np.ascontiguousarray(code.T[:, None, :])
    ToneMap(transfer, primaries).apply(rgb)
    return rgb[:, 0, :].T.astype(np.float64)


# Ramps and colours


def test_the_reference_has_the_published_numbers() -> None:
    """BT.2407 prints the matrix to four digits, BT.2408 the code values of reference white in its table 1."""
    published = [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]]
    np.testing.assert_allclose(to_bt709(9), published, atol=6e-5)
    assert pq_inverse(203.0) == pytest.approx(0.58, abs=0.005)
    assert hlg_inverse(np.full(3, 203.0)) == pytest.approx([0.75] * 3, abs=0.005)


@pytest.mark.parametrize("transfer", TAGS)
def test_every_grey_is_within_a_level_of_the_reference(transfer: str) -> None:
    ramp = np.repeat(np.arange(65536, dtype=np.uint16)[:, None], 3, 1)
    ours = mapped(ramp, transfer)
    np.testing.assert_allclose(ours, levels(light_of(ramp / 65535, transfer)), rtol=0, atol=1)
    assert (np.diff(ours, axis=0) >= -1).all()
    assert (ours[0] == 0).all()
    assert (ours[-1] == 65535).all()


def test_greys_that_sdr_can_show_keep_their_light_and_1000_is_white() -> None:
    light = np.array([0.1, 1, 10, 26, 50, 80])
    code = np.rint(65535 * pq_inverse(light))[:, None].repeat(3, 1).astype(np.uint16)
    expected = 65535 * (light / 203) ** (1 / 2.4)
    np.testing.assert_allclose(mapped(code, "pq")[:, 0], expected, rtol=2e-3)
    bright = np.rint(65535 * pq_inverse(np.array([203.0, 999.9, 1000, 4000, 10000])))
    assert mapped(bright[:, None].repeat(3, 1).astype(np.uint16), "pq")[:, 0].tolist() == pytest.approx(
        [0.903 * 65535, 65535, 65535, 65535, 65535], rel=1e-3
    )


@pytest.mark.parametrize(("transfer", "primaries"), [("pq", 1), ("pq", 9), ("pq", 12), ("hlg", 9)])
def test_colours_are_those_of_the_reference(transfer: str, primaries: int) -> None:
    code = np.random.default_rng(3).integers(0, 65536, (200_000, 3), np.uint16)
    light = light_of(code / 65535, transfer, primaries)
    check(mapped(code, transfer, primaries), light, tolerance=1.5, above=1e-3)


def check(ours: Floats, light: Floats, tolerance: float, above: float) -> None:
    """Within ``tolerance`` 16-bit levels ``above`` that light, and everywhere within 1e-4 of white in light.

    Near black a power of 1 / 2.4 makes much of little.
    """
    error = np.abs(ours - levels(light))[light > above]
    assert error.max() <= tolerance
    assert error.mean() <= 1
    assert np.abs((ours / 65535) ** 2.4 - light).max() <= 1e-4


def test_pq_and_hlg_of_the_same_light_are_the_same_picture() -> None:
    light = 10 ** np.random.default_rng(4).uniform(-1, 2.99, (50_000, 3))
    pq, hlg = (np.rint(65535 * inverse(light)).clip(0, 65535) for inverse in (pq_inverse, hlg_inverse))
    inside = (hlg < 65535).all(axis=1)  # a bright saturated colour is more than HLG holds
    assert inside.mean() > 0.5
    difference = np.abs(mapped(pq.astype(np.uint16), "pq") - mapped(hlg.astype(np.uint16), "hlg"))[inside]
    assert np.median(difference) <= 3
    assert difference.mean() <= 30


# Real clips


def hdr_clip(encode: Encode, name: str, transfer: str, **settings: Any) -> Path:
    """Ten bits of BT.2020: the luma a ramp from black to white, the chroma another one."""
    y = np.tile(np.linspace(64, 940, 96).astype(np.uint16), (64, 1))
    cb = np.tile(np.linspace(412, 612, 32).astype(np.uint16)[:, None], (1, 48))
    cr = np.tile(np.linspace(592, 432, 48).astype(np.uint16), (32, 1))
    frames = [planar_frame("yuv420p10le", [np.roll(y, 4 * shift, 1), cb, cr]) for shift in range(8)]
    return encode(
        f"{transfer}-{name}",
        source=frames,
        pix_fmt="yuv420p10le",
        **{"colorspace": 9, "color_primaries": 9, "color_trc": TAGS.get(transfer, 2), "color_range": 1, **settings},
    )


CODECS: dict[str, dict[str, Any]] = {
    "hevc.mp4": {"codec": "libx265", "options": {"x265-params": "lossless=1"}},
    "hevc.mkv": {"codec": "libx265"},
    "av1.mkv": {"codec": "libsvtav1", "options": {"preset": "12"}},
}


def decoded(path: Path, width: int = 96, height: int = 64, **options: Any) -> NDArray[np.uint16]:
    spec = decode_spec(RunConfig(**options), width, height)
    return decode_frames(ClipRequest(str(path), 0, 0), spec)[0]


@pytest.mark.parametrize("name", CODECS)
@pytest.mark.parametrize("transfer", TAGS)
def test_encoded_clips_are_mapped_as_the_reference_maps_their_samples(encode: Encode, name: str, transfer: str) -> None:
    path = hdr_clip(encode, name, transfer, **CODECS[name])
    frames = decoded(path, hdr="tonemap")
    with av.open(str(path)) as container:
        for ours, frame in zip(frames, container.decode(video=0), strict=False):
            y, cb, cr = (
                np.frombuffer(memoryview(plane), np.uint16).reshape(plane.height, -1)[:, : plane.width].astype(float)
                for plane in frame.planes
            )
            y, cb, cr = (y - 64) / 876, *((c.repeat(2, 0).repeat(2, 1) - 512) / 896 for c in (cb, cr))
            red, blue = y + 1.4746 * cr, y + 1.8814 * cb  # BT.2020: 2 (1 − K_R), 2 (1 − K_B)
            green = (y - 0.2627 * red - 0.0593 * blue) / 0.6780
            code = np.clip(np.stack((red, green, blue), -1), 0, 1)
            # R'G'B' are rounded to 16 bits before they are mapped. Where PQ is steep, and in the dark channels of
            # saturated colours, that is some twelve levels: 0.05 of an 8-bit level.
            check(ours.transpose(1, 2, 0).astype(np.float64), light_of(code, transfer), tolerance=16, above=0.02)


@pytest.mark.parametrize("transfer", TAGS)
def test_plain_takes_the_code_values_as_they_are(encode: Encode, transfer: str) -> None:
    lossless = CODECS["hevc.mp4"]
    path, untagged = (hdr_clip(encode, "hevc.mp4", kind, **lossless) for kind in (transfer, "none"))
    for size in ((96, 64), (40, 40)):
        plain = decoded(path, *size)
        np.testing.assert_array_equal(plain, decoded(untagged, *size))
        np.testing.assert_array_equal(plain, decoded(path, *size, hdr="plain"))
        assert np.abs(plain - decoded(path, *size, hdr="tonemap").astype(float)).mean() > 3000


@pytest.mark.parametrize("name", ["bikes", "bigbuckbunny"])
def test_sdr_does_not_change_in_one_byte(clips: dict[str, Path], name: str) -> None:
    np.testing.assert_array_equal(
        decoded(clips[name], 320, 320, hdr="tonemap"), decoded(clips[name], 320, 320, hdr="plain")
    )


def test_a_turned_and_resized_clip_is_mapped_too(encode: Encode) -> None:
    grey = [planar_frame("yuv420p10le", [np.full(shape, 512, np.uint16) for shape in ((64, 96), (32, 48), (32, 48))])]
    tags = {"color_trc": PQ, "colorspace": 9, "color_primaries": 9, "pix_fmt": "yuv420p10le", "codec": "libx265"}
    path = encode("turned.mp4", source=grey * 8, rotation=90, **tags)  # type: ignore[arg-type]
    frames = decoded(path, 40, 48, hdr="tonemap")
    expected = levels(light_of(np.full(3, (512 - 64) / 876), "pq"))
    np.testing.assert_allclose(frames[0].transpose(1, 2, 0), np.broadcast_to(expected, (48, 40, 3)), rtol=0, atol=4)


def tagged(primaries: int) -> av.VideoFrame:
    frame = planar_frame("gray16le", [np.full((8, 8), 40000, np.uint16)])
    frame.color_trc, frame.color_primaries, frame.color_range = PQ, primaries, 2
    return frame


def painted(frame: av.VideoFrame) -> NDArray[np.uint16]:
    out = np.zeros((3, 8, 8), np.uint16)
    Picture.of(frame, "auto", hdr="tonemap").paint(Scaler(), out)
    return out


def test_no_primaries_are_those_of_bt2020_and_others_are_refused() -> None:
    np.testing.assert_array_equal(painted(tagged(2)), painted(tagged(9)))
    with pytest.raises(DecodeError, match=r"PQ with the colour primaries number 4 cannot .*--hdr plain"):
        painted(tagged(4))
