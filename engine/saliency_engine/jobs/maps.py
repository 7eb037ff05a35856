"""The folders of a run's maps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from saliency_engine.config import RunConfig
from saliency_engine.errors import ConfigError
from saliency_engine.jobs.points import fill
from saliency_engine.jobs.target import Target
from saliency_engine.pipeline.map_folder import MapFolder
from saliency_engine.pipeline.memo import NUMERICS_VERSION
from saliency_engine.pipeline.task import Task
from saliency_engine.report.map_file import as_npy, as_png
from saliency_engine.table_job import TableJob


def map_folders(targets: Sequence[Target]) -> dict[Task, MapFolder]:
    """For each point the folder of its maps, ``MODEL_ID.AGGREGATOR`` in that of --maps; none where nobody asks.

    Raises ``ConfigError`` where there are maps of other settings, or where a map has fewer pixels than --map-grid.
    """
    return {target.task: _map_folder(target.job, target.config, target.task) for target in targets if target.job.maps}


def _map_folder(job: TableJob, config: RunConfig, task: Task) -> MapFolder:
    runner = task.runner
    grid = None
    if job.map_grid:
        width, height = map(int, job.map_grid.split("x"))
        grid = width, height
        size = runner.session.map_width, runner.session.map_height
        if width > size[0] or height > size[1]:
            raise ConfigError(
                f"--map-grid {job.map_grid} is finer than the maps, which have {size[0]}x{size[1]} pixels"
            )
    settings = {
        "model": runner.model.sha256,
        "model_id": runner.model.model_id,
        "provider": runner.session.provider,
        "aggregator": config.temporal_aggregator,
        "ema_alpha": config.ema_alpha if config.temporal_aggregator == "ema" else None,
        "sampling": task.tags.sampling,
        "accept_short": config.accept_short,
        "format": job.map_format,
        "grid": job.map_grid,
        "numerics": NUMERICS_VERSION,
    }
    folder = Path(job.maps, fill("{model_id}.{aggregator}", runner.model.model_id, config))
    encode = as_png if job.map_format == "png" else as_npy
    return MapFolder(folder, config.root, settings, encode, suffix=f".{job.map_format}", grid=grid)
