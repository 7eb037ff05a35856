"""Which clips train, validate and test: as the tables say, by CHUG's rule, or in folds."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from saliency_engine.errors import InputError
from saliency_engine.jobs.mos_prep.settings import Settings
from saliency_engine.numerics.splits import SPLITS, split_by_name, split_in_folds
from saliency_engine.report.terminal import counted

_SPELLINGS = {"validation": "val", "valid": "val", "dev": "val", "k150ka": "train", "k150kb": "val"}
"""What tables call splits, KoNViD-150k's two score files among them, besides the three names themselves."""


@dataclass(frozen=True)
class Division:
    """The split of every clip, ``[n]``."""

    rule: str
    """``explicit``, ``chug`` or ``folds``."""
    splits: NDArray[np.object_]
    """``train``, ``val`` or ``test``."""
    fold: NDArray[np.int64] | None
    """The number of each clip's fold: 0 is for testing, 1 for validation; ``None`` for the other rules."""
    contents: int
    """Number of contents."""
    leaking: tuple[str, ...]
    """Contents of which clips are in several splits, as the tables say: what was learned is then tested again."""


def divide(
    contents: NDArray[np.object_],
    given: NDArray[np.object_] | None,
    scores: NDArray[np.float64],
    settings: Settings,
    *,
    are_chug: bool,
) -> Division:
    """Divide clips by their ``contents``; ``given`` are the splits that the tables name, ``None`` where they do not.

    Raises ``InputError`` for a split of another name, where clips lack one that others have, and for fewer than three
    contents.
    """
    _, numbers = np.unique(contents.astype(str), return_inverse=True)
    count = int(numbers.max(initial=-1)) + 1
    has_splits = given is not None and any(split is not None for split in given)
    rule = settings.split
    if rule == "auto":
        rule = "explicit" if has_splits else "chug" if are_chug else "folds"
    if rule == "explicit":
        if given is None or not has_splits:
            raise InputError("--split explicit: no table has a column 'split' with train, val or test")
        splits = _read_splits(given)
        return Division(rule, splits, None, count, _find_leaks(contents, splits))
    if rule == "chug":
        splits = np.array([split_by_name(content) for content in contents], object)
        return Division(rule, splits, None, count, ())
    if count < len(SPLITS):
        raise InputError(
            f"the clips are of {counted(count, 'content')}, but three are needed: one to train with, one to "
            "validate, one to test. Add clips, or fill a column 'split' and give --split explicit"
        )
    fold = split_in_folds(scores, numbers, min(settings.folds, max(3, count)), settings.seed)
    splits = np.where(fold == 0, "test", np.where(fold == 1, "val", "train")).astype(object)
    return Division(rule, splits, fold, count, ())


def _read_splits(given: NDArray[np.object_]) -> NDArray[np.object_]:
    lower = [None if split is None else split.strip().lower() for split in given]
    splits = np.array([_SPELLINGS.get(split, split) if split else None for split in lower], object)
    lacking = sum(split is None for split in splits)
    if lacking:
        raise InputError(
            f"{lacking} of {len(splits)} clips have no split, and the others have one: fill the column 'split', or "
            "give --split folds to divide all of them anew"
        )
    strange = [split for split in Counter(splits) if split not in SPLITS]
    if strange:
        raise InputError(
            f"the column 'split' holds {', '.join(map(repr, strange[:3]))}, which is none of train, val and test: "
            "correct it, or give --split folds to divide all clips anew"
        )
    return splits


def _find_leaks(contents: NDArray[np.object_], splits: NDArray[np.object_]) -> tuple[str, ...]:
    firsts: dict[str, str] = {}
    leaking = dict[str, None]()
    for content, split in zip(contents, splits, strict=True):
        if firsts.setdefault(content, split) != split:
            leaking[content] = None
    return tuple(leaking)
