"""How near a student comes to its teacher, on frames of sources that it has never seen."""

from __future__ import annotations

import statistics
import time
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from saliency_engine.numerics.correlation import bootstrap, plcc
from saliency_engine.numerics.fidelity import compare
from saliency_exporter.distill.pictures import Corpus
from saliency_exporter.graphs import open_session, read_input

MOST_FRAMES = 400
_CALLS = 5


def judge(
    corpus: Corpus, teacher: NDArray[np.float32], student: NDArray[np.float32], chosen: list[int]
) -> dict[str, Any]:
    """Figures of the maps ``[n, H, W]`` of the held-out frames ``chosen``.

    ``clip_means`` is Pearson's correlation of the clips' mean saliency, which is what rows hold, with its 95% interval
    when groups are drawn anew; it is NaN for fewer than three clips.
    """
    place = {frame: at for at, frame in enumerate(chosen)}
    held_out = [source for source in corpus.sources if source.is_held_out]
    rows = [[place[frame] for frame in source.frames if frame in place] for source in held_out]
    kept = [at for at, row in enumerate(rows) if row]
    means = np.array([[maps[rows[at]].mean(dtype=np.float64) for at in kept] for maps in (teacher, student)])
    groups = np.array([held_out[at].group for at in kept])
    low, high = bootstrap(lambda drawn: plcc(*means[:, drawn]), groups)
    figures = compare(teacher, student)
    errors = np.abs(means[0] - means[1])
    return {
        **asdict(figures),
        "clips": len(kept),
        "groups": len(set(groups)),
        "median_correlation": _median_correlation(teacher, student),
        "clip_means": {"correlation": plcc(*means), "low": low, "high": high, "mae": float(errors.mean())},
    }


def time_models(teacher: bytes, student: bytes, frames: NDArray[np.float32]) -> dict[str, float]:
    """Milliseconds a frame of ONNX Runtime on one thread: medians of calls taken in turns.

    ``frames`` is float32 ``[n, 3, H, W]``, as the models take it.
    """
    sessions = {
        name: open_session(data, intra_op_num_threads=1) for name, data in (("teacher", teacher), ("student", student))
    }
    seconds: dict[str, list[float]] = {name: [] for name in sessions}
    for call in range(_CALLS + 1):
        for name, session in sessions.items():
            taken, step = read_input(session)
            part = np.resize(frames, (step, *frames.shape[1:]))
            started = time.perf_counter()
            session.run(None, {taken: part})
            if call:  # the first one also sets up
                seconds[name].append((time.perf_counter() - started) / step)
    return {f"{name}_ms": 1000 * statistics.median(values) for name, values in seconds.items()}


def _median_correlation(teacher: NDArray[np.float32], student: NDArray[np.float32]) -> float:
    values = [
        plcc(a.ravel().astype(np.float64), b.ravel().astype(np.float64)) for a, b in zip(teacher, student, strict=True)
    ]
    finite = [value for value in values if np.isfinite(value)]
    return statistics.median(finite) if finite else float("nan")
