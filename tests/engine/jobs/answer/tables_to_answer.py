"""Tables of scores that ``answer`` is asked about, with or without a planted signal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from saliency_engine.jobs.answer.run import answer_tables
from saliency_engine.jobs.answer.settings import Settings
from saliency_engine.jobs.answer.verdict import Answer

TAGS = {"saliency_model_id": "u2netp", "saliency_aggregator": "ema", "saliency_ema_alpha": 0.6}


def write_scores(
    path: Path, seed: int, *, signal: float, clips: int = 120, tags: Mapping[str, Any] | None = None, **columns: Any
) -> str:
    """Scores from two features of VMAF, ``signal`` times saliency, and noise."""
    generator = np.random.default_rng(seed)
    adm, motion, mean, var, noise = generator.normal(size=(5, clips))
    mos = np.clip(3 + 0.4 * adm - 0.2 * motion + signal * mean + 0.4 * noise, 1, 5)
    table = {"key": [f"{number}.mp4" for number in range(clips)], "adm2": adm, "motion2": motion}
    table |= {"saliency_mean": mean, "saliency_var": var, "mos": mos}
    table |= {name: [value] * clips for name, value in (TAGS if tags is None else tags).items()}
    pq.write_table(pa.table(table | columns), path)
    return str(path)


def ask(tables: Sequence[str], **options: Any) -> list[Answer]:
    given: dict[str, Any] = {
        "base": "adm2,motion2",
        "add": ["saliency_*"],
        "regressor": ["ridge"],
        "repeats": 2,
        "resamples": 300,
    }
    return answer_tables(Settings(tables=tables, **(given | options)))
