"""The bars that the project set itself, and whether a run reached them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

OWN_SIZE = "row at a time, own size"
ROW = "row at a time, 320x320"


class Bar(NamedTuple):
    """``winner`` must be at least ``least`` times as fast as ``loser``; ``best`` stands for the fastest engine."""

    model: str
    size: str
    winner: str
    loser: str
    least: float


_BARS = (
    Bar("student", "960x540", "engine, cpu", "bare model, cpu", 0.85),
    Bar("student", "960x540", "engine, openvino", "bare model, openvino", 0.85),
    Bar("u2net", "960x540", "engine, cpu", "bare model, cpu", 0.95),
    Bar("u2net", "960x540", "engine, openvino", "bare model, openvino", 0.95),
    Bar("student", "1920x1080", "engine, cpu", OWN_SIZE, 20.0),
    Bar("student", "1920x1080", "best", OWN_SIZE, 40.0),
    Bar("saliency_open", "1920x1080", "best", OWN_SIZE, 60.0),
    Bar("saliency_open", "1920x1080", "best", f"{OWN_SIZE}, saliency_student_v2", 60.0),
    Bar("student", "960x540", "engine, cpu", ROW, 2.0),
    Bar("student", "960x540", "engine, openvino", ROW, 2.0),
    Bar("u2net", "960x540", "best", "bare model, cpu", 2.5),
)


def judge(model: str, size: str, ratios: Mapping[str, Mapping[str, float]]) -> list[dict[str, Any]]:
    """The bars of ``model`` at ``size``; ``ratios[engine][other]`` is how many times as fast ``engine`` was."""
    verdicts = []
    for bar in _BARS:
        if bar.model not in model or bar.size != size:
            continue
        reached = {name: others[bar.loser] for name, others in ratios.items() if bar.loser in others}
        winner = max(reached, key=lambda name: reached[name], default="") if bar.winner == "best" else bar.winner
        if winner in reached:
            verdicts.append(
                {
                    "what": f"{winner} ÷ {bar.loser}",
                    "bar": bar.least,
                    "reached": reached[winner],
                    "met": reached[winner] >= bar.least,
                }
            )
    return verdicts
