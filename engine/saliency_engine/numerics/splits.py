"""Clips divided so that no content stands on both sides: by a hash of its name, or in folds that are alike in score."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from saliency_engine.errors import ConfigError

SPLITS = ("train", "val", "test")
_STRATA = 5


def split_by_name(content: str) -> str:
    """The split of a content by the rule in use for CHUG: 80 % train, 10 % val, 10 % test, by a hash of its name.

    The hash is BLAKE2s, 8 bytes, of ``chug-hdr-v1``, NUL and the name in UTF-8; as a big-endian fraction of 2^64 it is
    train below 0.8 and val below 0.9.
    """
    digest = hashlib.blake2s(f"chug-hdr-v1\0{content}".encode(), digest_size=8).digest()
    part = int.from_bytes(digest, "big") / 2**64
    return "train" if part < 0.8 else "val" if part < 0.9 else "test"


def split_in_folds(
    scores: NDArray[np.float64], contents: NDArray[np.int64], folds: int, seed: int
) -> NDArray[np.int64]:
    """``[n]`` the fold of each row, in [0, folds): rows of one content share it, and scores are spread alike.

    ``scores`` is ``[n]`` without NaN and is cut at its quintiles; ``contents`` ``[n]`` numbers the contents. By
    scikit-learn's ``StratifiedGroupKFold``, shuffled by ``seed``; where every row is a content of its own by
    ``StratifiedKFold``, which is the same and takes milliseconds for 150,000 rows. Raises ``ConfigError`` where there
    are fewer contents than folds.
    """
    count = len(np.unique(contents))
    if count < folds:
        raise ConfigError(f"{folds} folds need at least as many contents, but there are {count}: give fewer --folds")
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold  # noqa: PLC0415  slow to import

    strata = _cut(scores, folds)
    alone = count == len(contents)
    kind = StratifiedKFold if alone else StratifiedGroupKFold
    divider = kind(n_splits=folds, shuffle=True, random_state=seed)
    fold_of_row = np.empty(len(scores), np.int64)
    for fold, (_, rows) in enumerate(divider.split(scores, strata, None if alone else contents)):
        fold_of_row[rows] = fold
    return fold_of_row


def _cut(scores: NDArray[np.float64], folds: int) -> NDArray[np.int64]:
    """The stratum of each score: fifths, or fewer where a stratum would have less than one row a fold."""
    strata = max(1, min(_STRATA, len(scores) // folds))
    bounds = np.quantile(scores, np.linspace(0, 1, strata + 1)[1:-1])
    cut: NDArray[np.int64] = np.searchsorted(bounds, scores, side="right")
    counts = np.bincount(cut)
    # Many equal scores may leave a stratum too few rows, of which scikit-learn warns: then they are not cut at all.
    return cut if counts[counts > 0].min() >= folds else np.zeros(len(scores), np.int64)
