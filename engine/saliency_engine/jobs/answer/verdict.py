"""From numbers to a sentence: whether the added columns are shown to help."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from saliency_engine.jobs.answer.measure import Measured
from saliency_engine.jobs.answer.questions import Question
from saliency_engine.numerics.regression import adjust

HELPS, NOT_SHOWN = "shown to help", "not shown to help"


@dataclass(frozen=True)
class Answer:
    """What is said of one question."""

    question: Question
    measured: Sequence[Measured]
    """By every regressor."""
    chosen: Measured
    """The regressor that does best without the added columns: a choice that cannot favour them."""
    p: float
    """Of the paired test of the chosen regressor's gain in SROCC, adjusted after Holm for the number of questions."""
    verdict: str

    @property
    def sentence(self) -> str:
        """The answer, for people."""
        gain, (low, high) = self.chosen.gains["srocc"], self.chosen.judged
        verb, shown, over = ("add", gain, "over") if gain >= 0 else ("take", -gain, "from")
        verb += "" if self.question.is_many else "s"
        ends = (low, high) if gain >= 0 else (-high, -low)
        return (
            f"{self.question.name} {verb} {_number(shown)} SROCC [{_number(ends[0])}, {_number(ends[1])}] {over} "
            f"{self.question.base_name} on {len(self.question.target):,} clips: {self.verdict}"
        )


def answer(questions: Sequence[Question], measured: Sequence[Sequence[Measured]]) -> list[Answer]:
    """An answer to each question; ``measured`` are its regressors.

    The added columns are shown to help where the interval of the gain in SROCC is above 0, wide enough to hold for all
    questions together in 95 of 100 cases; else they are not. The paired test is a second opinion.
    """
    chosen = [max(each, key=lambda one: one.base["srocc"]) for each in measured]
    adjusted = adjust([one.p["srocc"] for one in chosen])
    answers = []
    for question, each, one, p in zip(questions, measured, chosen, adjusted, strict=True):
        helps = one.judged[0] > 0
        answers.append(Answer(question, each, one, p, HELPS if helps else NOT_SHOWN))
    return answers


def _number(value: float) -> str:
    return f"{value:.3f}".replace("-", "−")
