"""Rows of features and scores, and what `mos-prep` makes of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from saliency_engine.jobs.mos_prep.run import prepare
from saliency_engine.jobs.mos_prep.settings import Settings

TAGS = {
    "saliency_model_id": "u2netp_mirror_v1",
    "saliency_aggregator": "mean",
    "saliency_ema_alpha": 0.6,
    "saliency_sampling": "head:8@320x320",
}


def clip(number: int, **values: Any) -> dict[str, Any]:
    """A row as `run` writes it."""
    row = {"src": f"k/{number:04d}.mp4", "adm2": 0.9 + number / 1000, "saliency_mean": 0.2 + number / 1000}
    return row | {"saliency_var": 0.01, "saliency_status": "ok"} | TAGS | values


def write(path: Path, rows: Sequence[dict[str, Any]]) -> str:
    pq.write_table(pa.Table.from_pylist(list(rows)), path)
    return str(path)


def write_labels(path: Path, count: int, text: str = "") -> str:
    lines = text or "".join(f"{number:04d}.mp4,{1 + 4 * (number * 7 % count) / count}\n" for number in range(count))
    path.write_text("name,mos\n" + lines)
    return str(path)


def run(tmp_path: Path, rows: Sequence[dict[str, Any]], **options: Any) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The manifest, and the rows of the table."""
    tables = options.pop("tables", None) or [write(tmp_path / "features.parquet", rows)]
    labels = options.pop("labels", None)
    labels = [write_labels(tmp_path / "labels.csv", 60)] if labels is None else labels
    output = str(tmp_path / "out" / "train.parquet")
    manifest = prepare(Settings(tables=tables, labels=labels, output=output, **options))
    return manifest, pq.read_table(output).to_pylist()


CLIPS = [clip(number) for number in range(60)]
