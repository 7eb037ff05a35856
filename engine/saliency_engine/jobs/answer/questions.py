"""The comparisons that `answer` makes: clips of one kind of saliency, features without it and features with it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from saliency_engine.errors import InputError
from saliency_engine.jobs.answer.settings import TAGS, Settings, choose_both, constant_columns
from saliency_engine.report.terminal import counted
from saliency_engine.tables.keys import KEY_COLUMNS
from saliency_engine.tables.scores import Scores, read_scores
from saliency_engine.tables.whole import Whole, read_whole
from saliency_engine.tags import Tags, unite_tags

_FEWEST = 20
_VMAF = ("adm", "vif", "motion", "vmaf", "integer_", "float_")
_SALIENCY = "saliency_"


@dataclass(frozen=True)
class Question:
    """Does ``added`` help beside ``base``?"""

    table: str
    kind: str
    """Which saliency the clips have, for people; empty where the table does not say."""
    base_columns: Sequence[str]
    added_columns: Sequence[str]
    base: NDArray[np.float64]
    """``[n, k]``; may have NaN. So may ``added`` ``[n, m]``."""
    added: NDArray[np.float64]
    target: NDArray[np.float64]
    """``[n]`` without NaN."""
    contents: NDArray[np.int64]
    """``[n]`` numbers the contents."""
    notes: Sequence[str]
    """What was left out, for people."""

    @property
    def both(self) -> NDArray[np.float64]:
        """``[n, k + m]``"""
        return np.column_stack([self.base, self.added])

    @property
    def name(self) -> str:
        """What is added, for people: ``saliency (u2netp, ema 0.6)`` or ``30 columns (videval_31 … videval_60)``."""
        if all(name.startswith(_SALIENCY) for name in self.added_columns):
            return f"saliency ({self.kind})" if self.kind else "saliency"
        return _describe(self.added_columns)

    @property
    def is_many(self) -> bool:
        """Whether ``name`` takes a verb in the plural."""
        return not self.name.startswith(_SALIENCY[:-1]) and len(self.added_columns) > 1

    @property
    def base_name(self) -> str:
        """What it is added to, for people."""
        if all(name.startswith(_VMAF) for name in self.base_columns):
            return "VMAF features"
        return _describe(self.base_columns)

    @property
    def content_count(self) -> int:
        """Number of contents."""
        return int(self.contents.max(initial=-1)) + 1


def _describe(columns: Sequence[str]) -> str:
    if len(columns) <= 2:
        return " and ".join(columns)
    return f"{len(columns)} columns ({columns[0]} … {columns[-1]})"


def read_questions(settings: Settings) -> list[Question]:
    """A question for each table, each kind of saliency in it, and each ``--add``. Raises ``InputError``."""
    return [question for path in settings.tables for question in _ask(read_whole(path), settings)]


def _ask(table: Whole, settings: Settings) -> Iterator[Question]:
    table.require_rows()
    target = read_scores(table, settings.target)
    contents, note = _read_contents(table, settings.content)
    kinds = _find_kinds(table)
    unknown = kinds.pop("", np.zeros(table.rows, bool)) if len(kinds) > 1 else np.zeros(table.rows, bool)
    for kind, rows in kinds.items():
        scored = rows & np.isfinite(target.numbers)
        for patterns in settings.add:
            base, added = choose_both(table, settings, patterns)
            constant = constant_columns(table, [*base, *added], scored if scored.sum() >= _FEWEST else rows)
            base, added = ([name for name in names if name not in constant] for names in (base, added))
            for option, names in (("base", base), ("add", added)):
                if not names:
                    raise InputError(
                        f"{table.name}: the columns of --{option} have one number in all rows: nothing can be learned "
                        "from them"
                    )
            notes = [note] if note else []
            if constant:
                notes.append(f"left out, with one number in all rows: {', '.join(constant)}")
            untold = unknown & np.isfinite(target.numbers) & np.isfinite(_stack(table, added)).any(axis=1)
            if gone := int(untold.sum()):
                notes.append(f"{counted(gone, 'row')} that could be of several kinds of saliency {_be(gone)} left out")
            yield _take_rows(Columns(table, kind, base, added, target, contents), rows, notes)


@dataclass(frozen=True)
class Columns:
    """The columns of a question, of all rows of a table."""

    table: Whole
    kind: str
    base: Sequence[str]
    added: Sequence[str]
    target: Scores
    contents: NDArray[np.object_]


def _take_rows(columns: Columns, rows: NDArray[np.bool_], notes: list[str]) -> Question:
    """The question about those of ``rows`` that can be used, and what was left out."""
    scores, stacked = columns.target.numbers, [_stack(columns.table, names) for names in (columns.base, columns.added)]
    base, added = (np.where(np.isfinite(values), values, np.nan) for values in stacked)
    usable = rows & np.isfinite(scores)
    if gone := int((rows & ~usable & ~columns.target.strange).sum()):
        notes.append(f"{counted(gone, 'row')} without a score {_be(gone)} left out")
    if strange := int((rows & columns.target.strange).sum()):
        first = columns.target.first_strange
        notes.append(
            f"{counted(strange, 'row')} with a score that is no number {_be(strange)} left out; first: {first}"
        )
    empty = usable & np.isnan(added).all(axis=1)
    if gone := int(empty.sum()):
        notes.append(f"{counted(gone, 'row')} without any of the added columns {_be(gone)} left out")
        usable &= ~empty
    infinite = sum(int(np.isinf(values[usable]).sum()) for values in stacked)
    if infinite:
        notes.append(f"{counted(infinite, 'infinite number')} {_be(infinite)} taken for a gap")
    if gaps := int(np.isnan(base[usable]).sum() + np.isnan(added[usable]).sum()):
        notes.append(f"{counted(gaps, 'gap')} {_be(gaps)} filled with the median of the clips that train")
    shown, numbers = np.unique(columns.contents[usable].astype(str), return_inverse=True)
    _check_use(columns.table.name, scores[usable], len(shown))
    return Question(
        columns.table.name,
        columns.kind,
        columns.base,
        columns.added,
        base[usable],
        added[usable],
        scores[usable],
        numbers.astype(np.int64),
        notes,
    )


def _check_use(table: str, scores: NDArray[np.float64], contents: int) -> None:
    """Raises ``InputError`` where the ``scores`` of clips of so many ``contents`` are no ground for an answer."""
    if contents < _FEWEST:
        clips, shown = counted(len(scores), "clip"), counted(contents, "content")
        raise InputError(
            f"{table}: {clips} of {shown} {_be(len(scores))} too few for an answer: it takes at least {_FEWEST} "
            "contents, and hundreds to see a small gain"
        )
    if np.ptp(scores) == 0:
        raise InputError(
            f"{table}: the scores of all clips are {scores[0]:g}: there is nothing to predict, and no correlation is "
            "defined. Give a column of scores that differ, with --target"
        )


def _stack(table: Whole, names: Sequence[str]) -> NDArray[np.float64]:
    return np.column_stack([table.numbers(name) for name in names])


def _be(number: int) -> str:
    return "is" if number == 1 else "are"


def _read_contents(table: Whole, column: str) -> tuple[NDArray[np.object_], str]:
    """``[rows]`` what each row shows, and a note where it is taken for granted that rows differ in that."""
    column = column or next((name for name in ("content", *KEY_COLUMNS) if name in table.names), "")
    if not column:
        return np.arange(table.rows).astype(object), "every row is taken for a content of its own (--content)"
    texts = table.texts(column)
    for row, text in enumerate(texts):
        if text is None:
            texts[row] = f"row {row}"
    if len(set(texts)) == len(texts):
        return texts, f"every clip is a content of its own, by the column {column}"
    return texts, ""


def _find_kinds(table: Whole) -> dict[str, NDArray[np.bool_]]:
    """Each kind of saliency in the table, for people, with its rows; the alpha counts for ema alone.

    Rows without any tag are of the one kind that there is. Where there are several, they, and rows that failed, are
    under the empty name.
    """
    columns = [_SALIENCY + tag for tag in TAGS]
    present = [table.texts(name) if name in table.names else np.full(table.rows, None, object) for name in columns]
    tags = [
        Tags(model, aggregator, _read_alpha(alpha), sampling)
        for model, aggregator, alpha, sampling in zip(*present, strict=True)
    ]
    united, kinds = unite_tags(tags), dict[str, list[int]]()
    for row, own in enumerate(tags):
        kinds.setdefault(united[own].kind, []).append(row)
    masks = {}
    for kind, rows in kinds.items():
        masks[kind] = np.zeros(table.rows, bool)
        masks[kind][rows] = True
    return masks


def _read_alpha(text: str | None) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        return None
