"""What names of raw video say: real ones of corpora, and such as look alike and say nothing."""

from __future__ import annotations

import pytest

from saliency_engine.storage.raw_name import depth_of, read_raw_name


@pytest.mark.parametrize(
    ("name", "size", "pixel_format"),
    [
        ("DTreesParkVidevo_480x272_25fps_10bit_420", (480, 272), "yuv420p10le"),
        ("AMyanmarVidevo_3840X2176_24fps_10bit_420", (3840, 2176), "yuv420p10le"),
        ("clip_1920x1080_420_10", (1920, 1080), "yuv420p10le"),
        ("clip-1280x720-x", (1280, 720), ""),
        ("src01_hrc00_576x324", (576, 324), ""),
        ("foreman_352x288p30_420_8", (352, 288), "yuv420p"),
        ("a_64x48_yuv422p10le", (64, 48), "yuv422p10le"),
        ("a_64x48_yuv420p10", (64, 48), "yuv420p10le"),
        ("a_64x48_yuv444_12bit", (64, 48), "yuv444p12le"),
        ("a_yuvj420p_64x48", (64, 48), "yuv420p"),
        ("a_64x48_400_10-bit", (64, 48), "gray10le"),
        ("a_64x48_nv12", (64, 48), "nv12"),
        ("a_64x48_p010le", (64, 48), "p010le"),
        ("BigBuckBunny_20_288_420", None, ""),
        ("a64x48", None, ""),
        ("a_64x48_32x32", None, ""),
        ("id10b_64x48", (64, 48), ""),
    ],
)
def test_names_say_size_and_pixel_format(name: str, size: tuple[int, int] | None, pixel_format: str) -> None:
    read = read_raw_name(f"/corpora/all_8x8_12bit/{name}.yuv")
    assert (read.size, read.pixel_format) == (size, pixel_format)
    assert read.depths <= {depth_of(pixel_format)}


def test_a_name_may_contradict_itself() -> None:
    assert read_raw_name("a_8bit_420_10.yuv").depths == {8, 10}
