"""``--extra``: what is measured while a clip is decoded, against other decoders and plain numpy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from scenedetect import AdaptiveDetector, SceneManager, open_video
from tests.clips import Encode

from saliency_engine.extras import Measured
from saliency_engine.samplings import Head, Uniform
from saliency_engine.types import ClipRequest, DecodeSpec, RawFormat
from saliency_engine.video.decode import decode_frames

CUTS = [30, 76, 137, 187, 242]
"""Where the shots of the clip ``bikes`` change, of its 250 frames."""


def measure(path: Path, *extra: str, raw: RawFormat | None = None, **spec: Any) -> Measured:
    status = path.stat()
    request = ClipRequest(str(path), status.st_size, status.st_mtime_ns, raw, extra=extra)
    settings = {"width": 64, "height": 48, "sampling": Head(8, 8), "color": "auto", **spec}
    return decode_frames(request, DecodeSpec(**settings))[1].extras


def luma(path: Path, frames: Sequence[int]) -> list[NDArray[np.float64]]:
    """The Y planes of ``frames``, by FFmpeg's own way to 8-bit gray; its values are not stretched."""
    with av.open(str(path)) as container:
        decoded = list(container.decode(video=0))
    planes = [decoded[index].planes[0] for index in frames]
    lines = [np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size) for plane in planes]
    return [line[:, : plane.width].astype(np.float64) for line, plane in zip(lines, planes, strict=True)]


@pytest.mark.parametrize(
    ("sampling", "frames"), [(Head(8, 8), range(8)), (Head(12, 4), range(0, 12, 3)), (Uniform(2), [62, 187])]
)
def test_luma_and_texture_are_means_over_the_sampled_frames(
    clips: dict[str, Path], sampling: Any, frames: Sequence[int]
) -> None:
    values = measure(clips["bikes"], "luma", "texture", sampling=sampling).values
    planes = luma(clips["bikes"], frames)
    inner = [
        plane[:-2, 1:-1] + plane[2:, 1:-1] + plane[1:-1, :-2] + plane[1:-1, 2:] - 4 * plane[1:-1, 1:-1]
        for plane in planes
    ]
    differences = [(np.abs(np.diff(p, axis=0)).mean() + np.abs(np.diff(p, axis=1)).mean()) / 2 for p in planes]
    expected = {
        "y_avg": np.mean([plane.mean() for plane in planes]),
        "y_var": np.mean([plane.var() for plane in planes]),
        "luma_std": np.mean([plane.std() for plane in planes]) / 255,
        "sharpness_laplacian_var": np.mean([each.var() for each in inner]) / 255**2,
        "highfreq_abs_mean": np.mean(differences) / 255,
        "noise_lap_mad": np.mean([1.4826 * np.median(np.abs(each - np.median(each))) for each in inner]) / 255,
    }
    assert values == pytest.approx(expected, rel=1e-12)


def test_they_are_of_the_picture_that_is_shown_and_not_of_its_size_for_the_model(encode: Encode) -> None:
    clip = encode("upright.mp4", source="bikes", size=(96, 64), frames=8)
    turned = encode("turned.mp4", source="bikes", size=(96, 64), frames=8, rotation=90)
    assert measure(turned, "luma", "texture").values == measure(clip, "luma", "texture").values
    assert measure(clip, "luma", width=320, height=320).values == measure(clip, "luma").values


def test_nothing_is_measured_that_nobody_asked_for(clips: dict[str, Path]) -> None:
    assert measure(clips["bikes"]) == Measured()
    assert measure(clips["bikes"], "luma").values.keys() == {"y_avg", "y_var"}


def test_shots_are_those_of_the_detector_on_frames_that_it_decodes_itself(clips: dict[str, Path]) -> None:
    manager = SceneManager()
    manager.add_detector(AdaptiveDetector(min_scene_len=0.6))
    manager.detect_scenes(open_video(str(clips["bikes"])))
    assert [cut.frame_num for cut in manager.get_cut_list(show_warning=False)] == CUTS

    assert measure(clips["bikes"], "shots").values == pytest.approx(
        {"shot_count_norm": math.log10(1 + 6) / 3, "shot_mean_len_norm": 10 / 6 / 30, "shot_cut_density": 5 / 250}
    )


@pytest.mark.parametrize(
    "settings", [{"rotation": 90}, {"pix_fmt": "yuv420p10le", "codec": "libx265"}, {"size": (96, 72)}]
)
def test_shots_of_other_pictures(encode: Encode, settings: Any) -> None:
    """A turned one, one of 10 bits, and one that is smaller than the detector's frames."""
    clip = encode("shots.mp4", source="bikes", frames=80, **{"size": (160, 96), **settings})
    assert measure(clip, "shots").values["shot_cut_density"] == 2 / 80


def test_one_shot(clips: dict[str, Path]) -> None:
    values = measure(clips["carphone_pristine"], "shots").values
    assert values["shot_count_norm"] == math.log10(2) / 3
    assert values["shot_cut_density"] == 0.0


def test_a_shot_is_as_long_as_it_is_shown(encode: Encode) -> None:
    """Frames of uneven length: 40 of 1/25 s, then 40 of 3/25 s."""
    pts = [*range(40), *range(40, 160, 3)]
    clip = encode("uneven.mkv", source="bikes", frames=80, size=(160, 96), pts=pts)
    values = measure(clip, "shots").values
    assert values["shot_cut_density"] == 2 / 80
    assert values["shot_mean_len_norm"] == pytest.approx((40 + 40 * 3) / 25 / 3 / 30, rel=0.02)


def test_raw_video_has_shots_but_no_seconds(encode: Encode) -> None:
    clip = encode("shots.yuv", source="bikes", frames=80, size=(160, 96))
    values = measure(clip, "shots", raw=RawFormat(160, 96, "yuv420p")).values
    assert values == {"shot_count_norm": math.log10(4) / 3, "shot_cut_density": 2 / 80}


def test_a_clip_whose_end_is_missing_has_its_other_numbers(encode: Encode, tmp_path: Path) -> None:
    content = encode("whole.mkv", source="bikes", frames=80, size=(160, 96)).read_bytes()
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(content[: len(content) * 3 // 4])
    measured = measure(cut, "luma", "shots")
    assert measured.values.keys() == {"y_avg", "y_var"}
    assert "the file is cut off" in measured.lacks["shots"]
    assert measured.has("shots")
    short = measure(cut, "luma", "shots", accept_short=True)
    assert not short.lacks
    assert short.values["shot_cut_density"] > 0
