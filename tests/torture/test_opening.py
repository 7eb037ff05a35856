"""Files that are opened without decoding give what they give when FFmpeg decodes to find out about them, bit by bit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.encoders import write_clips
from tests.torture.conftest import Record, times

from saliency_engine.errors import ClipError
from saliency_engine.samplings import Head, Keyframes, Sampling, Uniform
from saliency_engine.types import ClipRequest, DecodedClip, DecodeSpec
from saliency_engine.video import demuxer, undecoded
from saliency_engine.video.decode import decode_frames

CODECS = ("libx264", "libx264rgb", "libvpx", "libvpx-vp9", "prores", "prores_aw", "prores_ks")
SUFFIXES = ("mp4", "mov", "3gp", "f4v", "mkv", "webm")
SAMPLINGS: tuple[Sampling, ...] = (Head(8, 8), Uniform(11), Keyframes(4))
DAMAGED = 12
"""Copies of each clip of which one byte in two thousand, and at least one, is another."""


def _damage(source: Path, target: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    data = bytearray(source.read_bytes())
    for at in rng.integers(0, len(data), max(1, len(data) // 2000)):
        data[at] = rng.integers(256)
    target.write_bytes(data)


def _result(path: Path, sampling: Sampling) -> tuple[Any, DecodedClip | None]:
    """The frames and what is known of them; or the status."""
    spec = DecodeSpec(48, 32, sampling, "auto", accept_short=True)
    try:
        frames, decoded = decode_frames(ClipRequest(str(path), path.stat().st_size, 0), spec)
    except ClipError as error:
        return error.status, None
    return frames, decoded


def _agrees(one: tuple[Any, DecodedClip | None], other: tuple[Any, DecodedClip | None]) -> bool:
    (frames, clip), (others, another) = one, other
    if clip is None or another is None:
        return (clip, another) == (None, None) and frames == others
    np.testing.assert_equal(clip.times, another.times)
    return np.array_equal(frames, others) and (clip.motion, clip.signal) == (another.motion, another.signal)


def test_opening_without_decoding_changes_nothing(
    tmp_path: Path, record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    says_all: Callable[..., bool] = undecoded.says_all
    opened: Counter[bool] = Counter()

    def counted(*arguments: Any) -> bool:
        answer = says_all(*arguments)
        opened[answer] += 1
        return answer

    outcomes: Counter[str] = Counter()
    differing = []
    for codec, suffix in [(codec, suffix) for codec in CODECS for suffix in SUFFIXES][: times(42)]:
        for made in write_clips(tmp_path, codec, suffix):
            whole = made[0]
            for seed in range(DAMAGED):
                made.append(whole.with_stem(f"{whole.stem}-damaged{seed}"))
                _damage(whole, made[-1], seed)
            for path in made:
                for sampling in SAMPLINGS:
                    opened.clear()
                    monkeypatch.setattr(demuxer, "says_all", counted)
                    now = _result(path, sampling)
                    monkeypatch.setattr(demuxer, "says_all", lambda *_: False)
                    kind = "as always" if not opened[True] else "refused" if now[1] is None else "without decoding"
                    outcomes[f"{codec}, {kind}"] += 1
                    if opened[True] and not _agrees(now, _result(path, sampling)):
                        differing.append(f"{path.name}, {sampling}")
                        print(differing[-1], flush=True)
                path.unlink()
    record("24-opening", outcomes=dict(sorted(outcomes.items())), differing=differing)
    assert not differing
    assert any(kind.endswith("without decoding") for kind in outcomes)
