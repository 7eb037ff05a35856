"""An engine that computes located clips for a run on another machine. It has neither table nor memo file."""

from __future__ import annotations

import dataclasses
import itertools
import socket
import threading
import traceback
import uuid
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from saliency_engine import errors
from saliency_engine.config import RunConfig
from saliency_engine.errors import BugError, ClipError, ConfigError, SaliencyError
from saliency_engine.models.load import Model
from saliency_engine.numerics.kernels import load_numba
from saliency_engine.pipeline.engine import Engine
from saliency_engine.pipeline.far_work import ClipWork, Computed, EngineState, Fault, WorkDone
from saliency_engine.pipeline.task import Task
from saliency_engine.storage.locate import Locator
from saliency_engine.types import ClipReference, ClipRequest, ClipResult, ClipStatistics, RowBatch, Status, row_batch_of

_ERRORS = {error.status: error for error in ClipError.__subclasses__()}


class FarEngine:
    """The engine of one actor, with ``models`` under ``config``, and so many ``cores`` to itself.

    ``node`` is what messages call the machine. Nothing is raised: what goes wrong is in ``WorkDone.fault``. Several
    threads may call ``compute`` at once, so that the workers find clips of the next call while those of one run out.
    """

    _engine: Engine
    _tasks: list[Task]

    def __init__(self, models: Sequence[Model], config: RunConfig, cores: int, node: str) -> None:
        self._config = dataclasses.replace(
            config,
            memo="off",  # what is computed here is remembered by the run
            root=config.confined_to,  # the run has located the clips
            decode_workers=cores if config.decode_workers == "auto" else config.decode_workers,
            threads=cores if config.threads == "auto" else config.threads,
        )
        self._name, self._node = uuid.uuid4().hex, node or socket.gethostname()
        self._models = models
        self._clips = self._failed = 0
        self._numbers = itertools.count()
        self._counting = threading.Lock()

    def start(self) -> WorkDone:
        """Load the models and start the workers: to be called first, and once."""
        try:
            load_numba()
            self._locator = _Located(self._config)
            self._engine = Engine(self._config, self._models[0], self._locator, self._models[1:])
            self._tasks = [self._engine.new_task(self._config, self._locator, model) for model in self._models]
        except Exception as error:  # noqa: BLE001  whatever it is, the run has to know it
            return WorkDone(self._node, None, fault=_fault_of(error))
        return WorkDone(self._node, self._state())

    def compute(self, works: Sequence[ClipWork]) -> WorkDone:
        """Compute ``works``, each for the models that are wanted."""
        here = [work for work in works if _is_here(work.request)]
        absent = tuple(work.request for work in works if not _is_here(work.request))
        try:
            self._check_key(works[0])
            computed = tuple(self._run(here))
        except Exception as error:  # noqa: BLE001
            return WorkDone(self._node, self._state(), fault=_fault_of(error))
        with self._counting:
            self._clips += len(here)
            self._failed += len({one.request for one in computed if isinstance(one.outcome, ClipError)})
        return WorkDone(self._node, self._state(), computed, absent)

    def _run(self, works: Sequence[ClipWork]) -> Iterator[Computed]:
        names = [f"{next(self._numbers)}" for _ in works]
        requests = {name: work.request for name, work in zip(names, works, strict=True)}
        self._locator.requests.update(requests)
        order = {task.number: place for place, task in enumerate(self._tasks)}
        work = self._work_of(works, names)
        for task, batch, results in self._engine.run_tasks(work, tasks=len(self._tasks)):
            for clip, result in zip(batch.clips, results, strict=True):
                yield Computed(requests[clip.path], order[task.number], _outcome_of(result))
        for name in names:
            del self._locator.requests[name]

    def _work_of(self, works: Sequence[ClipWork], names: Sequence[str]) -> Iterator[tuple[Task, RowBatch[None]]]:
        """What is wanted of each model. The engine asks for it in a turn of this thread's, so the memos may be used."""
        for place, task in enumerate(self._tasks):
            memo = task.runner.memo
            for work in works:
                if statistics := work.models[place].statistics:
                    memo.put(memo.key(work.request), work.request, statistics)
        for place, task in enumerate(self._tasks):
            wanted = [name for name, work in zip(names, works, strict=True) if work.models[place].wanted]
            if wanted:
                yield task, row_batch_of([ClipReference(name) for name in wanted])

    def _check_key(self, work: ClipWork) -> None:
        """Raise ``ConfigError`` where numbers of this machine would not be those that the run asks for."""
        runner = self._tasks[0].runner
        if runner.memo.key(work.request) != work.key:
            raise ConfigError(
                f"numbers of this node would not be those that are asked for: it computes with "
                f"{runner.session.provider}. All nodes need the same version of saliency-batch and the same --provider "
                "as the machine where the command runs"
            )

    def _state(self) -> EngineState:
        engine, clock = self._engine, self._engine.clock
        return EngineState(
            self._name,
            self._node,
            engine.threads,
            engine.decode_workers,
            self._clips,
            self._failed,
            clock.elapsed,
            dict(clock.seconds),
        )


class _Located(Locator):
    """Knows the clips already, by the names that they have here for a while."""

    def __init__(self, config: RunConfig) -> None:
        super().__init__(config)
        self.requests: dict[str, ClipRequest] = {}

    def locate(self, clip: ClipReference) -> ClipRequest:
        return self.requests[clip.path]

    def foresee(self, clips: Iterable[ClipReference]) -> None:
        """Nobody has to be asked."""

    def mention(self, reason: str, path: str) -> str:  # noqa: ARG002
        """The reason alone: the run adds what its rows do not say."""
        return reason


def _outcome_of(result: ClipResult) -> ClipStatistics | ClipError:
    if result.status is Status.OK and result.statistics:
        return result.statistics
    return _ERRORS[result.status](result.reason or "")


def _is_here(request: ClipRequest) -> bool:
    """Whether a clip is on this machine as the run has located it. One that is remote is looked for when fetched."""
    if request.remote:
        return True
    try:
        file = Path(request.path).stat()
    except (OSError, ValueError):
        return False
    return (file.st_size, file.st_mtime_ns) == (request.size, request.mtime_ns)


def _fault_of(error: Exception) -> Fault:
    if isinstance(error, SaliencyError):
        kind = next(kind.__name__ for kind in type(error).__mro__ if kind.__name__ in vars(errors))
        return Fault(kind, str(error))
    if isinstance(error, OSError):
        return Fault("WorkerError", f"{type(error).__name__}: {error}")
    notes = "".join(getattr(error, "__notes__", []))
    reason = str(error) if isinstance(error, BugError) else f"{type(error).__name__}: {error}"
    return Fault("BugError", reason, notes or "".join(traceback.format_exception(error)))
