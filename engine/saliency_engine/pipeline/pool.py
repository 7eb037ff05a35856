"""Decoding processes and the shared-memory ring they write frames into.

Written on ``multiprocessing`` itself rather than on a pool library because a night's run needs three things together:
a time-out that counts neither pauses nor a clock that is set, a death that costs nothing but a second attempt even
when the dead worker was idle or held a queue's lock, and waiting for workers and model in one call. One pipe per worker
and no shared lock give all three.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import multiprocessing.process
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

import numpy as np
from numpy.typing import NDArray

from saliency_engine.errors import BugError, ClipError, DecodeError, WorkerError
from saliency_engine.facts import ClipFacts, ProbeSpec
from saliency_engine.pipeline.interpreters import starting
from saliency_engine.pipeline.outcomes import DecodedInRing, NotDecoded, Probed
from saliency_engine.pipeline.ring import Ring
from saliency_engine.pipeline.worker import START_METHOD, describe_end, is_stopped, serve
from saliency_engine.types import ClipRequest, DecodedClip, DecodeSpec

# A worker may die without its clip's fault, of want of memory, so the clip gets a second worker; no clip gets a third.
_TRIES = 2
# A worker is replaced after so many clips, because PyAV and FFmpeg keep 150 to 600 bytes of each, which is gigabytes
# after millions. Over 30,000 clips memory now grows by 21 bytes a clip instead of 600 (docs/reliability.md).
_CLIPS_PER_WORKER = 10_000
# Seconds from one look at the clips' time-outs to the next, and how many of them count at most. A run that was
# suspended, frozen or asleep looks late, and its workers have paused as well. Where this process was at work elsewhere,
# a time-out comes later than it might; nothing waits for the clip then. A busy machine is seldom late by a tenth.
_LOOK_EVERY = 0.1
_LOOK_COUNTS = 0.2


@dataclass
class _Worker:
    process: BaseProcess
    connection: Connection
    job: tuple[ClipRequest, int] | None = None
    """The clip it is decoding, and the ring slot for its frames."""
    deaths: tuple[str, ...] = ()
    """How earlier workers died at the same job."""
    seconds: float = 0.0
    """How long it has been at the job while this process was looking; see ``_LOOK_COUNTS``."""
    clips: int = 0
    """How many clips it was given."""


class DecodePool:
    """``workers`` processes that decode one clip each at a time into one of ``ring_slots`` places in shared memory.

    ``frames`` is the ring: uint16 ``[ring_slots, K, 3, H, W]``. With a ``ProbeSpec`` clips are probed instead, and
    leave nothing in their ring slots. ``timeout`` is in seconds a clip, without pauses of the run. A worker that dies,
    or is stopped for that long, is replaced, and its clip tried once more. Raises ``WorkerError`` where none starts.
    """

    def __init__(self, spec: DecodeSpec | ProbeSpec, workers: int, ring_slots: int, timeout: float) -> None:
        self._spec, self._timeout = spec, timeout
        self._context: Any = multiprocessing.get_context(START_METHOD)
        self._ring = Ring((ring_slots, *spec.shape))
        self.frames: NDArray[np.uint16] = self._ring.frames
        self._free = list(range(ring_slots))
        self._users = [1] * ring_slots
        self._any_started = False
        self._looked = time.monotonic()
        self._workers: list[_Worker] = []
        try:
            for _ in range(workers):
                self._workers.append(self._start())
        except BaseException:
            self.close()
            raise

    @property
    def ready(self) -> bool:
        """A worker is idle and a ring slot is free: ``submit`` may be called."""
        return bool(self._free) and any(worker.job is None for worker in self._workers)

    @property
    def busy(self) -> int:
        """Number of clips being decoded."""
        return sum(worker.job is not None for worker in self._workers)

    @property
    def connections(self) -> list[Connection]:
        """What becomes readable when a worker has finished or died."""
        return [worker.connection for worker in self._workers if worker.job is not None]

    @property
    def patience(self) -> float | None:
        """Seconds until ``collect`` must be called, whatever happens; ``None`` when no clip is being decoded."""
        return _LOOK_EVERY if self.busy else None

    def submit(self, request: ClipRequest) -> None:
        """Start decoding a clip; only when ``ready``."""
        index = next(index for index, worker in enumerate(self._workers) if worker.job is None)
        self._give(index, (request, self._free.pop()))

    def collect(self) -> list[DecodedInRing | Probed | NotDecoded]:
        """The clips that are done with: decoded or probed, failed, timed out, or two workers died at them.

        Raises ``BugError`` where a worker met an error that is no clip's fault.
        """
        finished: list[DecodedInRing | Probed | NotDecoded] = []
        self._count_seconds()
        for index, worker in enumerate(self._workers):
            if worker.job is not None and (outcome := self._outcome(index)) is not None:
                request, ring_slot = worker.job
                if isinstance(outcome, DecodedClip):
                    finished.append(DecodedInRing(request, outcome, ring_slot))
                elif isinstance(outcome, ClipFacts):
                    finished.append(Probed(request, outcome))
                else:
                    finished.append(NotDecoded(request, outcome))
                if not isinstance(outcome, DecodedClip):
                    self.release(ring_slot)
                self._workers[index].job = None
                if self._workers[index].clips >= _CLIPS_PER_WORKER:
                    self._replace(index)
        return finished

    def share(self, ring_slot: int, users: int) -> None:
        """The frames in a ring slot have so many ``users``, each of which will ``release`` it."""
        self._users[ring_slot] = users

    def release(self, ring_slot: int) -> None:
        """Let another clip have a ring slot, when all who use its frames have called this."""
        self._users[ring_slot] -= 1
        if not self._users[ring_slot]:
            self._users[ring_slot] = 1
            self._free.append(ring_slot)

    def close(self) -> None:
        """Stop every worker at once, whatever it is doing."""
        while self._workers:
            self._stop(self._workers.pop())
        self._ring.close()

    def _count_seconds(self) -> None:
        """Add the time since the last call to the jobs under way, but no pause."""
        now = time.monotonic()
        for worker in self._workers:
            worker.seconds += min(now - self._looked, _LOOK_COUNTS)
        self._looked = now

    def _give(self, index: int, job: tuple[ClipRequest, int], deaths: tuple[str, ...] = ()) -> None:
        self._count_seconds()  # of the other jobs: this one begins now
        for _ in range(_TRIES):
            worker = self._workers[index]
            if not _send(worker, job):
                with contextlib.suppress(EOFError, OSError):
                    while True:
                        _receive(worker)  # raises a last message of its that says why
                self._replace(index)
                continue
            worker.job, worker.deaths, worker.seconds = job, deaths, 0.0
            worker.clips += 1
            return
        raise WorkerError("the decoding processes end before they are given a clip")

    def _outcome(self, index: int) -> DecodedClip | ClipFacts | ClipError | None:
        """What became of a worker's clip; ``None`` while it is being decoded, perhaps by another worker."""
        worker = self._workers[index]
        if worker.connection.poll():
            try:
                outcome = _receive(worker)
            except (EOFError, OSError):
                return self._died(index)
            self._any_started = True
            if outcome is None:
                worker.seconds = 0.0  # it has started; that was no work on its clip
            return outcome
        if worker.seconds < self._timeout:
            return None
        stopped = not worker.deaths and is_stopped(worker.process)
        self._replace(index)
        if stopped and worker.job is not None:  # by a signal or a debugger, and not by its clip
            self._give(index, worker.job, ("stopped",))
            return None
        what = "fetching and decoding" if worker.job and worker.job[0].remote else "decoding"
        return DecodeError(f"{what} took longer than --clip-timeout {self._timeout:g} s and was stopped")

    def _died(self, index: int) -> DecodeError | None:
        worker = self._workers[index]
        deaths = (*worker.deaths, describe_end(worker.process))
        if len(deaths) == _TRIES and not self._any_started:
            # This is no clip's fault, and would fail every row of the table.
            raise WorkerError(f"the decoding processes cannot start ({', '.join(deaths)}); the log above says why")
        self._replace(index)
        if len(deaths) == _TRIES:
            hint = "; SIGKILL often means that the machine ran out of memory" if "SIGKILL" in deaths else ""
            return DecodeError(f"two decoding processes died at this clip ({', '.join(deaths)}{hint})")
        if worker.job is not None:
            self._give(index, worker.job, deaths)
        return None

    def _start(self) -> _Worker:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=serve, args=(theirs, self._ring, self._spec), name="decode")
        try:
            with starting():
                process.start()
        except (OSError, EOFError) as error:
            raise WorkerError(f"a decoding process cannot be started: {error} (see ulimit -u and ulimit -n)") from error
        finally:
            theirs.close()
        # At the end of a forked process multiprocessing would end what it takes for its children.
        multiprocessing.process._children.discard(process)  # type: ignore[attr-defined]
        return _Worker(process, ours)

    def _replace(self, index: int) -> None:
        self._stop(self._workers.pop(index))
        self._workers.insert(index, self._start())

    @staticmethod
    def _stop(worker: _Worker) -> None:
        # SIGKILL at once: a worker hung inside a C library never returns to Python to see a gentler signal.
        worker.process.kill()
        worker.process.join()
        worker.process.close()
        worker.connection.close()


def _send(worker: _Worker, job: tuple[ClipRequest, int]) -> bool:
    """Give a worker its job; false where it has died while idle.

    The error ends here. As the context of a later one it would keep what was to be sent in a circle of objects, which
    Python since 3.13 complains of on stderr at its end (BufferError).
    """
    try:
        worker.connection.send(job)
    except OSError:
        return False
    return True


def _receive(worker: _Worker) -> DecodedClip | ClipFacts | ClipError | None:
    """A worker's next message; ``None`` when it is ready. Raises ``EOFError`` or ``OSError`` when it has died."""
    message: DecodedClip | ClipFacts | ClipError | BugError | None = worker.connection.recv()
    if isinstance(message, BugError):
        raise message
    return message
