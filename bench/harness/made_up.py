"""Numbers of clips that nobody has computed, to measure all that is done with such numbers."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from saliency_engine.facts import Signal
from saliency_engine.pipeline.far_work import ClipWork, Computed, EngineState, WorkDone
from saliency_engine.types import ClipStatistics

FRAMES = 8
_LINKS = 50_000  # of one file: file systems bound them


def answer(works: Sequence[ClipWork], node: str, state: EngineState) -> WorkDone:
    """What an actor sends back for ``works`` of one model."""
    return WorkDone(node, state, tuple(Computed(work.request, 0, _numbers()) for work in works))


@lru_cache(maxsize=1)
def _numbers() -> ClipStatistics:
    means = np.random.default_rng(0).random(FRAMES)
    times = np.arange(FRAMES) / 25
    return ClipStatistics(means, means / 10, np.outer(means, means), (0.5, 0.1), Signal("bt709", 8), times)


def link_clips(folder: Path, count: int) -> list[Path]:
    """``count`` files of one byte under names of their own, which are found like clips and cannot be decoded."""
    folder.mkdir()
    paths = []
    for number in range(count):
        paths.append(folder / f"{number:08}.mp4")
        first = number // _LINKS * _LINKS
        if number == first:
            paths[-1].write_bytes(b"x")
        else:
            os.link(paths[first], paths[-1])
    return paths
