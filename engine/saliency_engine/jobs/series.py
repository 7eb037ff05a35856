"""The frames of a run, written beside its rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from saliency_engine.pipeline.task import Task
from saliency_engine.tables.output import Output, open_output
from saliency_engine.tables.series import SERIES, series_format, series_of
from saliency_engine.types import ClipResult, RowBatch


class Series:
    """Writes the frames of each clip once for each model, as long as ``opened``; an empty ``path`` is no file."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._output: Output | None = None
        self._tasks: set[int] = set()
        """The numbers of the tasks whose clips are written: one of each model."""

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Take frames until the end of the block, which must ``commit`` them. Raises as ``open_output`` does."""
        if not self._path:
            yield
            return
        with open_output(self._path, series_format(self._path), SERIES) as self._output:
            yield

    def watch(self, tasks: Sequence[Task]) -> None:
        """Write the clips of these tasks."""
        self._tasks = {task.number for task in {task.runner.model.sha256: task for task in reversed(tasks)}.values()}

    def add(self, task: Task, batch: RowBatch[Any], results: Sequence[ClipResult]) -> None:
        """Write the frames of those of ``batch``'s clips that have numbers and are not written yet."""
        if self._output is None or task.number not in self._tasks:
            return
        for clip, result in zip(batch.clips, results, strict=True):
            if result.statistics is not None and task.first_written(clip):
                self._output.write(series_of(clip.path, task.runner.model.model_id, result.statistics))

    def commit(self) -> None:
        """Put the file in its place."""
        if self._output is not None:
            self._output.commit(self._output.rows)
