"""Clips cut off at a hundred points each: every cut is refused, or gives what the whole clip gives."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tests.clips import Encode, remuxed
from tests.torture.conftest import Record

from saliency_engine.config import RunConfig
from saliency_engine.errors import DecodeError
from saliency_engine.types import ClipRequest, RawFormat, decode_spec
from saliency_engine.video.decode import decode_clip

CUTS = 100
"""Cuts of each clip, whatever the scale. They make 101 parts, so that none lies between two of the 60 frames of raw
video, where a cut is silent. With 20 cuts the share that TS and AVI are allowed would be only two of them."""
SIZE = (160, 96)
RAW = RawFormat(*SIZE, "yuv420p")
FRAME = SIZE[0] * SIZE[1] * 3 // 2
VP9 = {"deadline": "realtime", "cpu-used": "8"}
# Suffix, encoder's settings, muxer's options, and the unit in bytes between whose multiples the clip is cut.
KINDS: dict[str, tuple[str, dict[str, Any], dict[str, str], int]] = {
    "MP4, index in front": (".mp4", {}, {"movflags": "faststart"}, 1),
    "MP4, index behind": (".mp4", {}, {}, 1),
    "MP4 in fragments": (".mp4", {}, {"movflags": "frag_keyframe+empty_moov"}, 1),
    "MKV, H.264": (".mkv", {}, {}, 1),
    "MKV, HEVC": (".mkv", {"codec": "libx265"}, {}, 1),
    "WebM, VP9": (".webm", {"codec": "libvpx-vp9", "options": VP9}, {}, 1),
    "TS, H.264": (".ts", {}, {}, 1),
    "TS, HEVC": (".ts", {"codec": "libx265"}, {}, 1),
    "TS, MPEG-2": (".ts", {"codec": "mpeg2video"}, {}, 1),
    "TS, H.264, between packets": (".ts", {}, {}, 188),
    "TS, HEVC, between packets": (".ts", {"codec": "libx265"}, {}, 188),
    "AVI, MPEG-4": (".avi", {"codec": "mpeg4"}, {}, 1),
    "AVI, H.264": (".avi", {}, {}, 1),
    "Y4M": (".y4m", {}, {}, 1),
    "Y4M, between frames": (".y4m", {}, {}, FRAME + len(b"FRAME\n")),
    "YUV": (".yuv", {}, {}, 1),
    "YUV, between frames": (".yuv", {}, {}, FRAME),
}
SAMPLINGS: dict[str, dict[str, Any]] = {
    "head 8 of 8": {"sampling": "head", "max_frames": 8, "frame_samples": 8},
    "head 8 of 30": {"sampling": "head", "max_frames": 30, "frame_samples": 8},
    "uniform 8": {"sampling": "uniform", "max_frames": 8, "frame_samples": 8},
}
Outcome = tuple[tuple[float, ...], NDArray[np.uint16]]


def outcome(path: Path, settings: dict[str, Any]) -> Outcome | None:
    """Motion and frames; ``None`` for a clip that is refused with a reason."""
    spec = decode_spec(RunConfig(model="frequency_tuned_v1", **settings), 64, 64)
    out = np.zeros((spec.frames_per_clip, 3, 64, 64), np.uint16)
    request = ClipRequest(str(path), 0, 0, RAW if path.suffix == ".yuv" else None)
    try:
        return decode_clip(request, spec, out).motion, out
    except DecodeError:
        return None


def outcomes(whole: Path, cut: Path, points: list[int], settings: dict[str, Any]) -> dict[str, int]:
    """How many of the cuts are refused, give what the whole clip gives, or give something else in silence."""
    content = whole.read_bytes()
    expected = outcome(whole, settings)
    assert expected is not None
    seen: Counter[str] = Counter(refused=0, same=0, silent=0)
    for point in points:
        cut.write_bytes(content[:point])
        got = outcome(cut, settings)
        same = got is not None and got[0] == expected[0] and np.array_equal(got[1], expected[1])
        seen["refused" if got is None else "same" if same else "silent"] += 1
    return dict(seen)


def test_no_cut_is_silent(encode: Encode, tmp_path: Path, record: Record) -> None:
    figures: dict[str, dict[str, dict[str, int]]] = {}
    for kind, (suffix, settings, muxing, unit) in KINDS.items():
        whole = encode(f"whole{suffix}", frames=60, size=SIZE, gop=12, **settings)
        if muxing:
            whole = remuxed(whole, tmp_path / f"whole{suffix}", muxing)
        size = whole.stat().st_size
        head = size % unit  # the header of Y4M
        points = [(k + 1) * size // (CUTS + 1) for k in range(CUTS)]
        points = [point - (point - head) % unit for point in points]
        cut = tmp_path / f"cut{suffix}"
        figures[kind] = {name: outcomes(whole, cut, points, sampling) for name, sampling in SAMPLINGS.items()}
    record("06-truncation", points=CUTS, **figures)
    for kind, by_sampling in figures.items():
        for name, seen in by_sampling.items():
            # Between packets or frames nothing is torn, and these containers promise no length: whole as they are.
            if "between" in kind and name != "head 8 of 8":
                continue
            allowed = 0.1 if kind.startswith(("TS", "AVI")) else 0.0
            assert seen["silent"] <= allowed * CUTS, (kind, name)
