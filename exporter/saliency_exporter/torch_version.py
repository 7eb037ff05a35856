"""Whether torch is installed, and a version whose reading of checkpoints can be relied on."""

from __future__ import annotations

import importlib.metadata
import re

from saliency_engine.errors import ModelError

_OLDEST = (2, 10)


def check_torch(work: str) -> None:
    """Raise ``ModelError`` unless torch is there and new enough that ``weights_only`` can be relied on.

    ``work`` is what needs it.
    """
    try:
        version = importlib.metadata.version("torch")
    except importlib.metadata.PackageNotFoundError as error:
        raise ModelError(f"{work} needs torch: pip install 'saliency-batch[export]'") from error
    numbers = tuple(int(part) for part in re.findall(r"\d+", version)[:2])
    if numbers < _OLDEST:
        raise ModelError(
            f"torch {version} can be made to run code from a checkpoint, even with weights_only: install 2.10 or newer"
        )
