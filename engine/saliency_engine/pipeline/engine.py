"""The engine: one model, its decoding workers and its memo, ready to process any number of row batches."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, Self

from saliency_engine.config import RunConfig
from saliency_engine.errors import WorkerError
from saliency_engine.inference.session import Session, model_threads, open_session
from saliency_engine.machine import cores
from saliency_engine.models.load import Model, load_model
from saliency_engine.pipeline.clock import Clock
from saliency_engine.pipeline.counts import Counts
from saliency_engine.pipeline.feeder import Feeder
from saliency_engine.pipeline.loop import Pipeline
from saliency_engine.pipeline.map_folder import MapFolder
from saliency_engine.pipeline.memo import Memo, memo_context
from saliency_engine.pipeline.one_clip import OneClip, as_reference, model_clip
from saliency_engine.pipeline.pool import DecodePool
from saliency_engine.pipeline.raw_video import check_pixel_format
from saliency_engine.pipeline.ring import ring_slots_for
from saliency_engine.pipeline.runner import Runner
from saliency_engine.pipeline.task import Task
from saliency_engine.pipeline.worker import claim_open_files, start_fork_server
from saliency_engine.storage.locate import Locator
from saliency_engine.tables import rows
from saliency_engine.tables.arrow_stream import ArrowStream, iterate_batches
from saliency_engine.tables.columns import columns_of
from saliency_engine.tables.join import Joiner, OutputColumns
from saliency_engine.tables.kept_rows import KeptRows
from saliency_engine.tags import Tags
from saliency_engine.types import ClipResult, DecodeSpec, PayloadT, RowBatch, decode_spec

if TYPE_CHECKING:
    import pyarrow as pa

_OF_TABLES = frozenset(
    {
        *("temporal_aggregator", "ema_alpha", "root", "path_column", "path_template", "path_regex", "path_suffix"),
        *("width_column", "height_column", "pix_fmt_column", "default_width", "default_height", "yuv_pixel_format"),
        *("overwrite", "keep_others", "prefix", "extra", "verify_clips", "ffmpeg_bin", "ffprobe_bin"),
        *("allow_remote", "remote_cache_gb"),
        *("mean_column", "var_column", "status_column", "model_id_column", "aggregator_column", "ema_alpha_column"),
        *("sampling_column", "error_column"),
    }
)
"""Options in which the tasks of one engine may differ."""


def engine_settings(config: RunConfig) -> dict[str, Any]:
    """What an engine is made of: tables whose options agree in this can share one."""
    settings = {name: value for name, value in asdict(config).items() if name not in _OF_TABLES}
    return {**settings, "confined_to": config.confined_to}


class Engine:
    """Puts saliency on rows. Use it as a context manager, or ``close`` it.

    Threads may share it; they take turns. A process needs one of its own, also where it was forked from another.

    ``config.memo`` names the memo file; empty or ``off`` keeps none. ``model`` is what ``load_model(config)`` gave, for
    callers that needed it earlier; ``locator`` replaces ``Locator(config)``, which finds the clips' files. ``others``
    are models that run beside it, on the same decoded frames where their input has the same size; ``new_task`` asks for
    their numbers. No two models may have the same bytes.

    Raises ``ConfigError``, ``ModelError``, ``ProviderError``, ``MemoError`` or ``WorkerError`` when it cannot start.
    """

    config: RunConfig
    model: Model
    session: Session
    """The model, ready to run."""
    decode_workers: int
    """How many decoding processes there are."""
    threads: int
    """Threads of the model on the CPU."""
    clock: Clock
    """How long each stage was busy so far."""

    def __init__(
        self,
        config: RunConfig,
        model: Model | None = None,
        locator: Locator | None = None,
        others: Sequence[Model] = (),
    ) -> None:
        check_pixel_format(config)
        self.config = config
        self.decode_workers = cores() if config.decode_workers == "auto" else config.decode_workers
        claim_open_files(self.decode_workers)
        start_fork_server(remote=config.allow_remote)  # imports beside the loading of the model
        self.clock = Clock()
        self.model = model or load_model(config)
        self.threads = model_threads(config)
        self._start([self.model, *others], locator or Locator(config))

    def _start(self, models: Sequence[Model], locator: Locator) -> None:
        with self.clock("start"), ExitStack() as opened:
            pools: dict[DecodeSpec, DecodePool] = {}
            self._runners = {model.sha256: self._start_runner(model, pools, opened) for model in models}
            self._runner = self._runners[self.model.sha256]
            self.session = self._runner.session
            self._pipeline = Pipeline(list(self._runners.values()), self.clock)
            self._task = self.new_task(self.config, locator)
            self._opened = opened.pop_all()  # all is well: nothing is closed before ``close``

    def _start_runner(self, model: Model, pools: dict[DecodeSpec, DecodePool], opened: ExitStack) -> Runner:
        """What runs ``model``; models of one input size share one of ``pools``. All is closed with ``opened``."""
        config = self.config
        session = open_session(model, config)
        opened.callback(session.close)
        spec = decode_spec(config, session.width, session.height)
        path = None if config.memo in {"", "off"} else Path(config.memo)
        memo = Memo(path, memo_context(model.sha256, session.provider, spec), model.model_id)
        opened.callback(memo.close)
        if spec not in pools:
            ring_slots = ring_slots_for(spec, self.decode_workers, config.batch_size)
            pools[spec] = DecodePool(spec, self.decode_workers, ring_slots, config.clip_timeout)
            opened.callback(pools[spec].close)
        feeder = Feeder(session, pools[spec], config.batch_size, self.clock)
        opened.callback(feeder.close)
        return Runner(model, session, spec, pools[spec], feeder, memo)

    def new_task(self, config: RunConfig, locator: Locator, model: Model | None = None) -> Task:
        """A table of its own for this engine: ``locator`` finds its clips, ``config`` names aggregator and alpha.

        It has counts of its own. ``model`` is one of the engine's, by default its first. ``engine_settings`` of
        ``config`` must be those of ``Engine.config``, but for the model. Raises ``ConfigError`` for a pixel format that
        cannot be read.
        """
        check_pixel_format(config)
        return self._pipeline.new_task(self._runners[(model or self.model).sha256], config, locator)

    @contextmanager
    def writing(self, folders: Mapping[Task, MapFolder]) -> Iterator[None]:
        """Until the end of the block the maps of each task's model are written to its folder, for all clips.

        A clip that lacks one is decoded again, whatever the memo knows.
        """
        for task, folder in folders.items():
            task.runner.feeder.maps = [*task.runner.feeder.maps, folder]
        try:
            yield
        finally:
            for runner in self._runners.values():
                runner.feeder.maps = ()

    def process(self, table: ArrowStream | Iterable[ArrowStream]) -> Iterator[pa.RecordBatch]:
        """Yield every record batch of ``table``, in order, with the saliency columns of ``config``.

        ``table`` is anything with ``__arrow_c_stream__``: a table of pandas, polars or PyArrow, a relation of DuckDB, a
        ``pyarrow.RecordBatch`` or a reader of such. Or it is an iterable of these, which must share one schema.

        Raises ``InputError`` when the path column is missing, or when rows keep numbers of other settings; a failing
        clip is a row's status.
        """
        yield from self.process_rows(rows.from_batches(iterate_batches(table), columns_of(self.config)))

    def process_rows(self, batches: Iterable[RowBatch[pa.RecordBatch]]) -> Iterator[pa.RecordBatch]:
        """``process`` for rows whose clips are known: those of ``Engine.config``'s columns, or of ``open_table``."""
        joiner: Joiner | None = None
        kept = KeptRows(self.tags, self.config)
        for batch, results in self.results(kept.watch(batches)):
            kept.check(results)
            joiner = joiner or Joiner(OutputColumns(self.config, batch.payload.schema), self.tags)
            yield joiner.join(batch, results)

    def results(
        self, batches: Iterable[RowBatch[PayloadT]], tick: Callable[[], None] = lambda: None
    ) -> Iterator[tuple[RowBatch[PayloadT], list[ClipResult]]]:
        """Compute row batches: each comes back in order with one result per entry of its ``clips``.

        ``tick`` is called whenever something has happened, for those who show progress from ``counts``.
        """
        for _, batch, results in self.run_tasks(((self._task, batch) for batch in batches), tick):
            yield batch, results

    def run_tasks(
        self, work: Iterable[tuple[Task, RowBatch[PayloadT]]], tick: Callable[[], None] = lambda: None, tasks: int = 1
    ) -> Iterator[tuple[Task, RowBatch[PayloadT], list[ClipResult]]]:
        """``results`` for row batches of so many ``tasks`` of this engine, which take turns."""
        return self._pipeline.process(work, tick, tasks)

    def compute_clip(self, path: str | os.PathLike[str]) -> OneClip:
        """As ``saliency_engine.compute_clip``, with this engine's model, which is loaded already."""
        self._pipeline.check_owner()
        return model_clip(as_reference(path), self.session, self.config)

    @property
    def tags(self) -> Tags:
        """What rows are tagged with that get their numbers from this engine."""
        return self._task.tags

    @property
    def counts(self) -> Counts:
        """What has happened so far, but for tasks of their own."""
        return self._task.counts

    def close(self) -> None:
        """Stop the workers and close the memo; what was finished is kept. Does nothing in a forked process."""
        if not self._pipeline.inherited:
            self._opened.close()

    def __reduce__(self) -> NoReturn:
        raise WorkerError("an Engine cannot be sent to another process: make one in each process")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
