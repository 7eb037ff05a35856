"""From a row's words to a file: what is found, and what a row is told whose clip cannot be."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

import pytest

from saliency_engine.config import RunConfig
from saliency_engine.errors import MissingGeometryError, MissingSourceError
from saliency_engine.storage.locate import Locator
from saliency_engine.types import ClipReference, ClipRequest, RawFormat


def locate(clip: ClipReference, **options: Any) -> ClipRequest:
    return Locator(RunConfig(model="frequency_tuned_v1", **options)).locate(clip)


def test_a_clip_is_a_file_as_it_is_now_under_the_root_with_links_resolved(tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").write_bytes(b"12345")
    (tmp_path / "link.mp4").symlink_to(tmp_path / "clip.mp4")
    request = locate(ClipReference("link.mp4", 64, 48), root=str(tmp_path))
    mtime = (tmp_path / "clip.mp4").stat().st_mtime_ns
    assert request == ClipRequest(str((tmp_path / "clip.mp4").resolve()), 5, mtime)
    content = locate(ClipReference("clip.mp4"), root=str(tmp_path), verify_clips=True).content
    assert content == hashlib.sha256(b"12345").hexdigest()


def test_raw_video_takes_its_size_from_the_row_and_then_from_the_options(tmp_path: Path) -> None:
    path = tmp_path / "CLIP.YUV"
    path.write_bytes(b"")
    assert locate(ClipReference(str(path), 64, 48, "gray")).raw == RawFormat(64, 48, "gray")
    assert locate(ClipReference(str(path), 64), default_width=8, default_height=6).raw == RawFormat(64, 6, "yuv420p")
    with pytest.raises(MissingGeometryError, match=r"width and a height: .*--width-column.* --default-height"):
        locate(ClipReference(str(path), 64))


@pytest.mark.parametrize(
    ("name", "clip", "options", "words"),
    [
        ("a_64x48_10bit", {}, {}, "64x48 yuv420p10le, as its name says"),
        (
            "a_64x48",
            {},
            {},
            "64x48 yuv420p: its name says the size, but no bit depth, so it is read as 8 bits",
        ),
        ("a_420_64x48", {"width": 64, "height": 48}, {}, "64x48 yuv420p: its row or an option says the size, and its "),
        ("a_64x48", {"pixel_format": "gray"}, {}, "64x48 gray: its name says the size, and its row the pixel format"),
        (
            "a_64x48",
            {},
            {"yuv_pixel_format": "yuv422p"},
            "64x48 yuv422p: its name says the size, and --yuv-pixel-format the pixel format",
        ),
        (
            "a_10bit",
            {"width": 64, "height": 48},
            {},
            "64x48 yuv420p10le: its row or an option says the size, and its name the pixel format",
        ),
        ("a", {"width": 64, "height": 48}, {}, ""),
        ("a_64x48", {}, {"default_width": 64, "default_height": 48}, ""),
    ],
)
def test_a_note_says_what_raw_video_is_read_by(
    tmp_path: Path, name: str, clip: dict[str, Any], options: dict[str, Any], words: str
) -> None:
    notes: list[str] = []
    locator = Locator(RunConfig(**options), note=notes.append)
    for copy in (name, f"b{name}"):
        (tmp_path / f"{copy}.yuv").touch()
        locator.locate(ClipReference(str(tmp_path / f"{copy}.yuv"), **clip))
    assert len(notes) == bool(words)
    assert all(f"{name}.yuv is read as {words}" in note for note in notes)


def test_a_note_for_each_way_of_reading(tmp_path: Path) -> None:
    notes: list[str] = []
    locator = Locator(RunConfig(), note=notes.append)
    for name in ("a_64x48_10bit.yuv", "b_64x48.yuv", "c_32x32.yuv"):
        (tmp_path / name).touch()
        locator.locate(ClipReference(str(tmp_path / name)))
    assert [Path(note.split(" is read")[0]).name for note in notes] == ["a_64x48_10bit.yuv", "b_64x48.yuv"]


@pytest.mark.parametrize(
    ("path", "options", "reason"),
    [
        ("", {"path_column": "clip"}, "column 'clip' has no path in this row: write the clip's path there"),
        ("gone.mp4", {}, "no such file: {root}/gone.mp4"),
        ("folder", {}, "not a regular file: {root}/folder"),
        ("../out.mp4", {"confine": True}, "the path leads outside --root, which --confine forbids"),
        ("a\0b", {}, "the clip cannot be reached: its path holds a null character"),
        ("x" * 300, {}, "the clip cannot be reached: File name too long"),
    ],
)
def test_what_cannot_be_located_is_told_with_the_path_that_was_tried(
    tmp_path: Path, path: str, options: dict[str, Any], reason: str
) -> None:
    root = tmp_path.resolve() / "root"
    (root / "folder").mkdir(parents=True)
    with pytest.raises(MissingSourceError, match=f"^{re.escape(reason.format(root=root))}$"):
        locate(ClipReference(path), root=str(root), **options)
