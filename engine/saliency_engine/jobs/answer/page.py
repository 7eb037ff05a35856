"""The page of an answer: the sentence first, then what it rests on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from saliency_engine.jobs.answer.measure import GATE, METRICS
from saliency_engine.jobs.answer.settings import Settings
from saliency_engine.jobs.answer.verdict import HELPS, Answer
from saliency_engine.report.charts import Estimate, draw_intervals, draw_scatter
from saliency_engine.report.html import interval, number, render_page, signed


def make_page(answers: Sequence[Answer], settings: Settings) -> str:
    """One file of HTML that loads nothing."""
    return render_page(
        "answer.html",
        title="Does it help?",
        entries=[_describe(one, settings) for one in answers],
        overview=_draw_overview(answers) if len(answers) > 1 else "",
        settings=settings,
        gate=GATE,
    )


def _draw_overview(answers: Sequence[Answer]) -> Any:
    estimates = [_estimate(one.question.name, one, one.verdict == HELPS) for one in answers]
    return draw_intervals(estimates, "gain in SROCC")


def _estimate(label: str, one: Answer, helps: bool) -> Estimate:
    return Estimate((label,), one.chosen.gains["srocc"], *one.chosen.judged, series=0 if helps else 1)


def _describe(one: Answer, settings: Settings) -> dict[str, Any]:
    gains = [
        Estimate((measured.regressor, name.upper()), measured.gains[name], *measured.intervals[name], series=place)
        for measured in one.measured
        for place, name in enumerate(METRICS)
    ]
    rows = [
        [
            measured.regressor,
            name.upper(),
            number(measured.base[name]),
            number(measured.both[name]),
            signed(measured.gains[name]),
            interval(measured.intervals[name]),
            number(measured.p[name]),
            number(measured.fold_medians["base"][name]),
            number(measured.fold_medians["both"][name]),
        ]
        for measured in one.measured
        for name in METRICS
    ]
    gate = [
        [label, *(number(values[name]) for name in GATE), "passed" if values["passed"] else "missed"]
        for label, values in (("without", one.chosen.gate["base"]), ("with", one.chosen.gate["both"]))
    ]
    return {
        "answer": one,
        "helps": one.verdict == HELPS,
        "chart": draw_intervals(gains, "gain, more is better"),
        "scatter": draw_scatter(
            one.chosen.predicted, one.question.target, ("predicted", settings.target), diagonal=True
        ),
        "rows": rows,
        "gate": gate,
    }
