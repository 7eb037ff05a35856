"""How near a student comes to its teacher, on frames of sources that it has never seen."""

from __future__ import annotations

import statistics
import time
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from saliency_engine.numerics.correlation import bootstrap
from saliency_engine.numerics.fidelity import compare, correlate_maps
from saliency_exporter.distill.pictures import Corpus
from saliency_exporter.graphs import open_session, read_input

MOST_FRAMES = 256
"""That a student is judged by, evenly over all that are held out."""
_FINDS_NOTHING = 0.02
"""A map with a smaller mean: the teacher finds nothing there, and what is correlated is mostly its noise."""
_CALLS = 5


def judge(
    corpus: Corpus, teacher: NDArray[np.float32], student: NDArray[np.float32], chosen: list[int]
) -> dict[str, Any]:
    """Figures of the maps ``[n, H, W]`` of the held-out frames ``chosen``.

    ``clip_means`` is Pearson's correlation of the clips' mean saliency, which is what rows hold, with its 95% interval
    when groups are drawn anew; it is NaN where too few clips are held out. A picture counts as a clip. ``with_salient``
    is of those frames alone in which the teacher finds something; its correlations are NaN where there are none.
    """
    place = {frame: at for at, frame in enumerate(chosen)}
    held_out = [source for source in corpus.sources if source.is_held_out]
    rows = [[place[frame] for frame in source.frames if frame in place] for source in held_out]
    kept = [at for at, row in enumerate(rows) if row]
    means = np.array([[maps[rows[at]].mean(dtype=np.float64) for at in kept] for maps in (teacher, student)])
    groups = np.array([held_out[at].group for at in kept])
    low, high = bootstrap(lambda drawn: _correlate(means[:, drawn]), groups)
    error = float(np.abs(means[0] - means[1]).mean())
    return {
        **asdict(compare(teacher, student)),
        "median_correlation": float(np.median(correlate_maps(teacher, student))),
        "with_salient": _judge_salient(teacher, student),
        "clips": len(kept),
        "groups": len(set(groups)),
        "clip_means": {"correlation": _correlate(means), "low": low, "high": high, "mae": error},
    }


def _judge_salient(teacher: NDArray[np.float32], student: NDArray[np.float32]) -> dict[str, Any]:
    is_salient = teacher.mean(axis=(1, 2)) >= _FINDS_NOTHING
    if not is_salient.any():
        return {"frames": 0, "correlation": float("nan"), "median_correlation": float("nan")}
    correlations = correlate_maps(teacher[is_salient], student[is_salient])
    mean, median = float(correlations.mean()), float(np.median(correlations))
    return {"frames": int(is_salient.sum()), "correlation": mean, "median_correlation": median}


def time_models(teacher: bytes, student: bytes, frame: NDArray[np.float32]) -> dict[str, float]:
    """Milliseconds a frame of ONNX Runtime on one thread: medians of calls taken in turns.

    ``frame`` is float32 ``[3, H, W]``, as the models take it.
    """
    sessions = {
        name: open_session(data, intra_op_num_threads=1) for name, data in (("teacher", teacher), ("student", student))
    }
    seconds: dict[str, list[float]] = {name: [] for name in sessions}
    for call in range(_CALLS + 1):
        for name, session in sessions.items():
            taken, step = read_input(session)
            part = np.repeat(frame[np.newaxis], step, axis=0)
            started = time.perf_counter()
            session.run(None, {taken: part})
            if call:  # the first one also sets up
                seconds[name].append((time.perf_counter() - started) / step)
    return {f"{name}_ms": 1000 * statistics.median(values) for name, values in seconds.items()}


def _correlate(means: NDArray[np.float64]) -> float:
    """Pearson's correlation of the two rows of ``means`` ``[2, n]``; NaN where one of them does not vary."""
    if means.shape[1] < 3 or not np.ptp(means, axis=1).all():
        return float("nan")
    correlations = np.asarray(np.corrcoef(means))
    return float(correlations[0, 1])
