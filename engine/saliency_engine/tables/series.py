"""The table of a run's frames: a row for each sampled frame of each clip."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from saliency_engine.errors import ConfigError
from saliency_engine.tables.formats import Format, of_path
from saliency_engine.types import ClipStatistics

SERIES = pa.schema(
    [
        ("clip", pa.string()),
        ("model_id", pa.string()),
        ("frame", pa.int32()),
        ("pts", pa.float64()),
        ("mean", pa.float64()),
        ("var", pa.float64()),
        ("motion", pa.float64()),
    ]
)
"""Its columns; docs/sweeps.md says what they hold."""


def series_format(path: str) -> Format:
    """The format of the table at ``path``. Raises ``ConfigError`` for a suffix that is not one of Parquet or Arrow."""
    format = of_path(path, "series")
    if format.kind not in {"parquet", "arrow"}:
        raise ConfigError(f"--series {path}: the frames are written as Parquet or Arrow, so name it .parquet or .arrow")
    return format


def series_of(clip: str, model_id: str, statistics: ClipStatistics) -> pa.RecordBatch:
    """The rows of one clip. A time that is not known is null."""
    frames = len(statistics.means)
    variances = np.maximum(np.diag(statistics.gram) - statistics.means**2, 0.0)
    times = np.full(frames, np.nan) if statistics.times is None else statistics.times
    columns = [
        pa.array([clip.encode("utf-8", "backslashreplace").decode()] * frames, pa.string()),
        pa.array([model_id] * frames, pa.string()),
        pa.array(np.arange(frames, dtype=np.int32)),
        pa.array(times, from_pandas=True),  # NaN becomes null
        pa.array(statistics.means),
        pa.array(variances),
        pa.array(statistics.motion),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=SERIES)
