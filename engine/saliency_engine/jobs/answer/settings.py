"""What `answer` is asked for, and the columns that its patterns name."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import numpy as np
from numpy.typing import NDArray

from saliency_engine.errors import ConfigError, InputError
from saliency_engine.tables.keys import KEY_COLUMNS
from saliency_engine.tables.labels import CONTENT_COLUMNS, MORE_COLUMNS
from saliency_engine.tables.selection import MOS_COLUMNS
from saliency_engine.tables.whole import Whole

REGRESSOR_NAMES = ("ridge", "svr", "boosting")
TAGS = ("model_id", "aggregator", "ema_alpha", "sampling")
_NO_FEATURES = frozenset((*MOS_COLUMNS, *MORE_COLUMNS, *CONTENT_COLUMNS, "fold", *(f"saliency_{tag}" for tag in TAGS)))
_LABELS = frozenset((*MOS_COLUMNS, "mos_std_dev", "mos_n_ratings"))
_WILD = "*?["


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The options of `answer`. Raises ``ConfigError`` for one that is out of range."""

    tables: Sequence[str]
    base: str
    """Patterns of columns, with commas between them."""
    add: Sequence[str]
    """The same; each is an addition to the base by itself."""
    target: str = "mos"
    content: str = ""
    """The column that says what a clip shows."""
    regressor: Sequence[str] = REGRESSOR_NAMES
    folds: int = 5
    repeats: int = 5
    resamples: int = 1000
    seed: int = 0
    json: str = ""
    html: str = ""

    def __post_init__(self) -> None:
        if not self.tables:
            raise ConfigError("answer needs a table with features and scores: name one, such as mos-prep has written")
        for name, least in (("folds", 2), ("repeats", 1), ("resamples", 100)):
            if getattr(self, name) < least:
                raise ConfigError(f"--{name} is {getattr(self, name)}: give at least {least}")


def choose_both(table: Whole, settings: Settings, patterns: str) -> tuple[list[str], list[str]]:
    """The columns of ``--base``, and those that ``patterns`` of ``--add`` name, which a pattern of the base leaves out.

    Raises ``InputError`` where ``--base`` names a column that is added, and as ``choose_columns``.
    """
    added = choose_columns(table, patterns, settings.target, "add")
    twice = [name for name in map(str.strip, settings.base.split(",")) if name in added]
    base = choose_columns(table, settings.base, settings.target, "base", without=added)
    if twice or not base:
        names = " and ".join(twice) or settings.base
        raise InputError(
            f"{table.name}: --base {names} stands in --add {patterns}, too: a column that is added to itself shows "
            "nothing. Name it in one of them"
        )
    return base, added


def choose_columns(table: Whole, patterns: str, target: str, option: str, without: Iterable[str] = ()) -> list[str]:
    """The columns of ``table`` that ``patterns`` name, in the table's order, and none twice.

    A pattern with a star takes columns of numbers only, and no labels, tags or keys; a name must be a feature.
    Those ``without`` are left out.
    Raises ``InputError`` for a pattern that fits nothing, and for a name of a column that is none or no feature.
    """
    left_out = {*_NO_FEATURES, *KEY_COLUMNS, target}
    chosen: set[str] = set()
    for pattern in filter(None, (part.strip() for part in patterns.split(","))):
        if not any(letter in pattern for letter in _WILD):
            _check_feature(table, pattern, target, option)
            matches = [pattern]
        else:
            names = (name for name in table.names if fnmatchcase(name, pattern) and name not in left_out)
            matches = [name for name in names if table.holds_numbers(name)]
        if not matches:
            raise InputError(
                f"{table.name}: --{option} {pattern} fits no column of numbers; there are {', '.join(table.names)}"
            )
        chosen.update(matches)
    if not chosen:
        raise ConfigError(f"--{option} names no column: give names or patterns, such as 'vif_*,motion2'")
    return [name for name in table.names if name in chosen and name not in without]


def _check_feature(table: Whole, name: str, target: str, option: str) -> None:
    if name == target or name in _LABELS:
        raise InputError(f"--{option} {name}: that is a label, from which everything could be told: leave it out")
    if name in table.names and (name in KEY_COLUMNS or name in CONTENT_COLUMNS):
        raise InputError(f"{table.name}: --{option} {name}: this column names clips and is no feature: leave it out")
    if name in table.names and not table.holds_numbers(name):
        raise InputError(f"{table.name}: --{option} {name}: this column does not hold numbers alone")
    table.numbers(name)  # raises where there is no such column


def constant_columns(table: Whole, names: Sequence[str], rows: NDArray[np.bool_]) -> list[str]:
    """Those of ``names`` that have one number in all of ``rows``."""
    constant = []
    for name in names:
        values = table.numbers(name)[rows]
        known = values[np.isfinite(values)]
        if not len(known) or np.ptp(known) == 0:
            constant.append(name)
    return constant
