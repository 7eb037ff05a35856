"""The tags of prepared clips: one text for all of them, or, of several kinds, a column of 0 and 1 for each value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from saliency_engine.jobs.mos_prep.settings import TAGS
from saliency_engine.tags import Tags


def tag_columns(tags: Sequence[Tags], *, mixed: bool) -> tuple[dict[str, NDArray[Any]], dict[str, NDArray[np.float64]]]:
    """The columns ``saliency_model_id`` and so on, and the features that ``mixed`` tags make.

    A tag of several values becomes ``saliency_model_id_is_u2netp`` and so on: the alpha as a number would look like a
    signal. Where ``mixed`` is false there is one value, and rows without any have it, too.
    """
    columns: dict[str, NDArray[Any]] = {}
    features: dict[str, NDArray[np.float64]] = {}
    for role in TAGS:
        values = [getattr(each, role) for each in tags]
        known = list(dict.fromkeys(value for value in values if value is not None))
        if not known:
            continue
        if len(known) == 1 or not mixed:
            kind = float if role == "ema_alpha" else object
            column = np.array([np.nan if value is None and kind is float else value for value in values], kind)
            columns[f"saliency_{role}"] = column
            continue
        if role != "ema_alpha":
            columns[f"saliency_{role}"] = np.array(values, object)
        for value in known:
            name = f"saliency_{role}_is_{value:g}" if isinstance(value, float) else f"saliency_{role}_is_{value}"
            features[name] = np.array([float(each == value) for each in values])
    return columns, features
