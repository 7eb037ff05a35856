"""``--reuse``: which of the sampled frames the model gets, and that nothing else changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from tests.clips import Encode, planar_frame

from saliency_engine.samplings import Head, Keyframes, Uniform
from saliency_engine.types import ClipRequest, DecodedClip, DecodeSpec
from saliency_engine.video.decode import decode_frames

SPEC = DecodeSpec(48, 32, Head(8, 8), "bt709")
Planes = NDArray[np.uint8]


def decode(path: Path, reuse: float, spec: DecodeSpec = SPEC) -> tuple[NDArray[np.uint16], DecodedClip]:
    return decode_frames(ClipRequest(str(path), path.stat().st_size, 0), replace(spec, reuse=reuse))


def lumas(clip: Path, count: int) -> list[NDArray[np.float64]]:
    with av.open(str(clip)) as container:
        return [
            frame.to_ndarray()[: frame.height].astype(np.float64)
            for frame, _ in zip(container.decode(video=0), range(count), strict=False)
        ]


def greedy(luma: Sequence[NDArray[np.float64]], reuse: float) -> list[int]:
    """For each frame the index of the one whose map stands for it, in numpy."""
    last, of = 0, [0]
    for frame in range(1, len(luma)):
        if np.abs(luma[frame] - luma[last]).mean() / 255 >= reuse:
            last = frame
        of.append(last)
    return of


@pytest.mark.parametrize("reuse", [1e-9, 0.005, 0.012, 0.02, 0.5])
@pytest.mark.parametrize("name", ["bigbuckbunny", "bikes", "carphone_pristine"])
def test_a_map_stands_as_long_as_the_luma_stays_near_its_frame(clips: dict[str, Path], name: str, reuse: float) -> None:
    every, whole = decode(clips[name], 0.0)
    got, clip = decode(clips[name], reuse)
    of = greedy(lumas(clips[name], 8), reuse)
    inferred = sorted(set(of))
    assert clip.map_of == tuple(inferred.index(frame) for frame in of)
    np.testing.assert_array_equal(got, every[inferred])
    assert (clip.motion, clip.times, clip.signal) == (whole.motion, whole.times, whole.signal)
    assert whole.map_of == tuple(range(8))


def pan(speed: int) -> list[av.VideoFrame]:
    """A smooth picture that moves to the left."""
    wave = 128 + 60 * np.sin(np.arange(400) / 20)[None, :] * np.ones((64, 1))
    gray = np.full((32, 48), 128, np.uint8)
    planes = [wave[:, speed * frame : speed * frame + 96].astype(np.uint8) for frame in range(8)]
    return [planar_frame("yuv420p", [np.ascontiguousarray(plane), gray, gray]) for plane in planes]


def test_a_slow_pan_adds_up(encode: Encode) -> None:
    """No frame is far from the one before it, and the last one is far from the first."""
    path = encode("pan.y4m", source=pan(1))
    motion = decode(path, 0.0)[1].motion
    tau = 2.5 * max(motion)
    _, clip = decode(path, tau)
    assert max(motion) < tau
    assert clip.inferred > 1
    assert clip.map_of == (0, 0, 0, 1, 1, 1, 2, 2)


def test_a_still_clip_has_one_map_and_a_cut_another(encode: Encode) -> None:
    first, *_, second = pan(20)
    assert decode(encode("still.y4m", source=[first] * 8), 1e-6)[1].map_of == (0,) * 8
    frames, clip = decode(encode("cut.y4m", source=[first] * 3 + [second] * 5), 0.004)
    assert clip.map_of == (0, 0, 0, 1, 1, 1, 1, 1)
    assert len(frames) == 2


@pytest.mark.parametrize(("sampling", "reuse"), [(Uniform(6), 0.12), (Keyframes(6), 0.18)])
def test_it_goes_with_every_sampling(clips: dict[str, Path], sampling: Uniform | Keyframes, reuse: float) -> None:
    spec = replace(SPEC, sampling=sampling)
    every, whole = decode(clips["bikes"], 0.0, spec)
    got, clip = decode(clips["bikes"], reuse, spec)
    assert 1 < clip.inferred < clip.frames == 6
    inferred = [clip.map_of.index(place) for place in range(clip.inferred)]
    np.testing.assert_array_equal(got, every[inferred])
    assert (clip.motion, clip.times) == (whole.motion, whole.times)


def test_frames_of_another_size_are_inferred_and_motion_stays_what_it_is(encode: Encode, tmp_path: Path) -> None:
    """Motion across the change is that of the painted frames, also where the one before was not painted."""
    path = tmp_path / "sizes.h264"
    options = {"preset": "ultrafast", "qp": "0"}
    parts = [encode("part.h264", source=pan(1)[:1] * 4, size=(side, side), options=options) for side in (96, 64)]
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    every, whole = decode(path, 0.0)
    got, clip = decode(path, 0.5)
    assert clip.map_of == (0, 0, 0, 0, 1, 1, 1, 1)
    assert clip.motion == whole.motion
    assert clip.motion[4] > 0
    np.testing.assert_array_equal(got, every[[0, 4]])
