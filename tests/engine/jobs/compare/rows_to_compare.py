"""What tests of `compare` share: rows that go with scores, the scores, and the command."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tests.engine.conftest import command

ROWS = 90
TAGS = {
    "saliency_model_id": "m1",
    "saliency_aggregator": "mean",
    "saliency_ema_alpha": 0.6,
    "saliency_sampling": "head:8@320x320",
}
QUALITY = np.random.default_rng(1).normal(size=ROWS)


def rows_of(seed: int, noise: float = 0.5, **tags: Any) -> list[dict[str, Any]]:
    """Rows with numbers that go with ``QUALITY``, and noise."""
    generator = np.random.default_rng(seed)
    means = 1 / (1 + np.exp(-0.5 * QUALITY - noise * generator.normal(size=ROWS)))
    return [
        {
            "key": f"{place:04d}",
            "saliency_mean": float(mean),
            "saliency_var": float(var),
            "saliency_status": "ok",
            **TAGS,
            **tags,
        }
        for place, (mean, var) in enumerate(zip(means, generator.uniform(0, 0.1, ROWS), strict=True))
    ]


def scores(noise: float = 0.3) -> list[dict[str, Any]]:
    generator = np.random.default_rng(9)
    return [
        {"key": f"{place:04d}", "mos": float(3 + quality + noise * generator.normal()), "content": place // 3,
         "adm2": float(quality + generator.normal()), "motion2": float(generator.normal()), "other": 1.0}
        for place, quality in enumerate(QUALITY)
    ]  # fmt: skip


def compare(tmp_path: Path, *words: str | Path) -> Any:
    command("compare", *words, "--json", tmp_path / "out.json")
    return json.loads((tmp_path / "out.json").read_text())


def column(rows: Sequence[Mapping[str, Any]], name: str) -> Any:
    return np.array([row[name] for row in rows])
