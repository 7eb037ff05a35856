"""``bench --reuse``: how many model runs ``--reuse`` saves on the user's clips, and how far it moves their numbers."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from saliency_engine.config import RunConfig
from saliency_engine.inference.session import Session, open_session
from saliency_engine.jobs.bench.stopwatch import Job
from saliency_engine.models.load import load_model
from saliency_engine.numerics.aggregate import summarize
from saliency_engine.numerics.fidelity import EIGHT_BITS, Fidelity, compare, merge
from saliency_engine.pipeline.one_clip import OneClip, model_clip
from saliency_engine.storage.locate import Locator
from saliency_engine.types import ClipReference, decode_spec
from saliency_engine.video.decode import decode_frames

TAUS = (0.001, 0.0015, 0.002, 0.003, 0.004, 0.006, 0.008, 0.012, 0.016, 0.024, 0.032)
"""What is tried: from where hardly any frame of a filmed clip is reused to where hardly any is not."""
LEAST_SAVED = 0.05
"""The share of model runs that is worth rows with a tag of their own."""
_LEAST_CLIPS, _SECONDS = 4, 60.0
"""So many clips are measured however long that takes, and others until this time is over."""


@dataclass(frozen=True)
class Trial:
    """What ``--reuse tau`` does to some clips."""

    tau: float
    clips: int
    frames: int
    model_runs: int
    maps: Fidelity
    """How near the frames' maps are to those without reuse."""
    delta_mean_max: float
    """Largest |Δ| of a row's mean."""
    delta_var_max: float

    @property
    def misses(self) -> list[str]:
        """Which bounds of the gate of int8 are missed, in words. A row's mean keeps them when its maps' means do."""
        return EIGHT_BITS.misses(self.maps)

    def as_json(self) -> dict[str, Any]:
        """JSON values; ``agrees`` says whether no bound is missed."""
        return {**asdict(self), "misses": self.misses, "agrees": not self.misses}


def try_reuse(job: Job) -> list[Trial]:
    """A trial for each of ``TAUS``, on the first of the job's clips for which there is time.

    Each clip is inferred once, without reuse. For each tau it is decoded once more, which says whose map stands for
    each frame. Raises ``SaliencyError`` where the setting does not run here, or a clip fails.
    """
    config = RunConfig(**job.options, memo="off")
    with closing(open_session(load_model(config), config)) as session:
        of_clips = list(try_clips(job.clips, session, config, _SECONDS))
    return [together(trials) for trials in zip(*of_clips, strict=True)]


def choose(trials: Sequence[Trial]) -> Trial | None:
    """The trial that saves most of those before the first that misses the gate; ``None`` where it is too little.

    Of trials that save as much it is the one with the smallest tau, which risks least on other clips.
    """
    passing = itertools.takewhile(lambda trial: not trial.misses, trials)
    good = min(passing, key=lambda trial: trial.model_runs, default=None)
    return good if good and good.model_runs <= (1 - LEAST_SAVED) * good.frames else None


def try_clips(
    clips: Sequence[ClipReference], session: Session, config: RunConfig, seconds: float = math.inf
) -> Iterator[list[Trial]]:
    """The trials of each clip by itself; after so many seconds those of the first clips only."""
    deadline = time.perf_counter() + seconds
    for count, clip in enumerate(clips):
        if count >= _LEAST_CLIPS and time.perf_counter() > deadline:
            return
        yield list(_try_clip(clip, session, config))


def _try_clip(clip: ClipReference, session: Session, config: RunConfig) -> Iterator[Trial]:
    whole, request = model_clip(clip, session, config), Locator(config).locate(clip)
    spec = decode_spec(config, session.width, session.height)
    known: dict[tuple[int, ...], Trial] = {}  # neighbours among the taus often reuse the same frames
    for tau in TAUS:
        map_of = decode_frames(request, replace(spec, reuse=tau))[1].map_of
        if map_of not in known:
            known[map_of] = _compare(whole, map_of)
        yield replace(known[map_of], tau=tau)


def _compare(whole: OneClip, map_of: Sequence[int]) -> Trial:
    """The trial, at no tau yet, in which the maps that stand for the frames of ``whole`` are these."""
    of = [map_of.index(place) for place in map_of]  # for each frame the one whose map stands for it
    statistics = whole.statistics
    moved = replace(statistics, means=statistics.means[of], gram=statistics.gram[np.ix_(of, of)])
    before, after = (np.array(summarize(one, "mean", 1.0)) for one in (statistics, moved))
    deltas = np.abs(after - before).tolist()
    return Trial(0.0, 1, len(of), map_of[-1] + 1, compare(whole.maps, whole.maps[of]), *deltas)


def together(trials: Sequence[Trial]) -> Trial:
    """The trial of several clips from theirs."""
    return Trial(
        trials[0].tau,
        sum(trial.clips for trial in trials),
        sum(trial.frames for trial in trials),
        sum(trial.model_runs for trial in trials),
        merge([trial.maps for trial in trials]),
        max(trial.delta_mean_max for trial in trials),
        max(trial.delta_var_max for trial in trials),
    )
