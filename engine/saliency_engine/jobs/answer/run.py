"""`answer`: does saliency help to predict scores beside other features?"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress
from rich.table import Table as Grid
from rich.text import Text

from saliency_engine.jobs.answer.measure import GATE, METRICS, Measured, measure
from saliency_engine.jobs.answer.page import make_page
from saliency_engine.jobs.answer.questions import Question, read_questions
from saliency_engine.jobs.answer.settings import Settings
from saliency_engine.jobs.answer.verdict import Answer, answer
from saliency_engine.machine import require_analysis
from saliency_engine.report.html import interval, number, signed
from saliency_engine.report.notes import note
from saliency_engine.report.provenance import run_provenance
from saliency_engine.report.terminal import printable
from saliency_engine.storage.atomic import check_output, write_json, write_together
from saliency_engine.storage.overwrite import Files

SCHEMA = "saliency-answer-v1"
_MOST_FOR_SVR = 10_000  # its time grows with the square of the clips: some hours from here on


def answer_tables(settings: Settings) -> list[Answer]:
    """Print the answers, and write them where ``settings`` say. Raises ``SaliencyError``."""
    require_analysis("answer")
    files = Files()
    files.reads("TABLES", *settings.tables)
    files.writes("--json", settings.json)
    files.writes("--html", settings.html, holds=".html")
    for path in (settings.json, settings.html):
        check_output(path)
    questions = read_questions(settings)
    for text in dict.fromkeys(each for question in questions for each in question.notes):
        note(text)
    answers = answer(questions, _measure_all(questions, settings))
    document = as_json(answers, settings)
    if settings.json:
        write_json(settings.json, document)
    if settings.html:
        page = make_page(answers, settings)
        write_together({Path(settings.html): page.encode("utf-8", "backslashreplace")})
    _print_answers(answers)
    return answers


def _measure_all(questions: Sequence[Question], settings: Settings) -> list[list[Measured]]:
    plan = [(question, _choose_regressors(question, settings)) for question in questions]
    steps = 2 * settings.repeats * settings.folds * sum(len(names) for _, names in plan)
    with Progress(console=Console(stderr=True), transient=True, disable=not os.isatty(2)) as progress:
        task = progress.add_task("cross-validating", total=steps)

        def step() -> None:
            progress.advance(task)

        return [
            [measure(question, name, settings, questions=len(plan), advance=step) for name in names]
            for question, names in plan
        ]


def _choose_regressors(question: Question, settings: Settings) -> list[str]:
    names = list(dict.fromkeys(settings.regressor))
    if "svr" in names and len(names) > 1 and len(question.target) > _MOST_FOR_SVR:
        note(f"svr is left out: of {len(question.target)} clips it would take hours")
        names.remove("svr")
    return names


def as_json(answers: Sequence[Answer], settings: Settings) -> dict[str, Any]:
    """The answers as JSON values."""
    return {
        "schema": SCHEMA,
        "answers": [
            {
                "sentence": one.sentence,
                "verdict": one.verdict,
                "interval": list(one.chosen.judged),
                "p_adjusted": one.p,
                "regressor": one.chosen.regressor,
                "table": one.question.table,
                "saliency": one.question.kind,
                "clips": len(one.question.target),
                "contents": one.question.content_count,
                "base": list(one.question.base_columns),
                "added": list(one.question.added_columns),
                "notes": list(one.question.notes),
                "regressors": [_as_json(measured) for measured in one.measured],
            }
            for one in answers
        ],
        "gate": GATE,
        "method": {name: getattr(settings, name) for name in ("folds", "repeats", "resamples", "seed")},
        "run_provenance": run_provenance(
            {f"table_{place}": path for place, path in enumerate(settings.tables)}, {}, asdict(settings)
        ),
    }


def _as_json(measured: Measured) -> dict[str, Any]:
    values = {name: value for name, value in vars(measured).items() if name != "predicted"}
    return values | {"intervals": {name: list(ends) for name, ends in measured.intervals.items()}}


def _print_answers(answers: Sequence[Answer]) -> None:
    console = Console(width=None if Console().is_terminal else 160)
    for one in answers:
        grid = Grid("", *(f"{name.upper()} {side}" for name in METRICS for side in ("base", "both", "gain")))
        for measured in one.measured:
            cells = [measured.regressor + (" *" if measured is one.chosen and len(one.measured) > 1 else "")]
            for name in METRICS:
                gain = f"{signed(measured.gains[name])} {interval(measured.intervals[name])}"
                cells += [number(measured.base[name]), number(measured.both[name]), gain]
            grid.add_row(*map(Text, cells))
        console.print(grid)
        console.print(Text(printable(_describe_gate(one.chosen))))
        console.print(Text(printable(one.sentence)), style="bold", soft_wrap=True)


def _describe_gate(measured: Measured) -> str:
    words = []
    for side, label in (("base", "without"), ("both", "with")):
        gate = measured.gate[side]
        numbers = ", ".join(f"{name} {number(gate[name])}" for name in (*METRICS, "spread"))
        words.append(f"{label}: {'passed' if gate['passed'] else 'missed'} ({numbers})")
    scale = "" if measured.gate["base"]["on_scale"] else "; scores are not on the scale 1 to 5, on which it is defined"
    return f"gate of VMAFx by {measured.regressor}, {'; '.join(words)}{scale}"
