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
