"""Decoding processes and the shared-memory ring they write frames into.

Written on ``multiprocessing`` itself rather than on a pool library because a night's run needs three things together:
a time-out on the monotonic clock (wall-clock time-outs kill clips when the clock is set), a death that costs one clip
even when the dead worker was idle or held a queue's lock, and waiting for workers and model in one call. One pipe
per worker and no shared lock give all three.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import multiprocessing.forkserver
import os
import signal
import threading
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

import numpy as np
from numpy.typing import NDArray

from saliency_engine.errors import ClipError, DecodeError, WorkerError
from saliency_engine.types import ClipRequest, DecodedClip, DecodeSpec

_START_METHOD = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"


def start_fork_server() -> None:
    """Begin the import of the decoder's libraries in the background; optional, and returns at once.

    The fork server imports numba and PyAV once (0.2 s), then gives birth to workers in milliseconds, also in place of
    dead ones; and it forks from a process without threads, which this one has.
    """
    if _START_METHOD == "forkserver":
        multiprocessing.set_forkserver_preload(["saliency_engine.decode"])
        multiprocessing.forkserver.ensure_running()


@dataclass
class _Worker:
    process: BaseProcess
    connection: Connection
    job: tuple[ClipRequest, int] | None = None
    deadline: float = 0.0


class DecodePool:
    """``workers`` processes that decode one clip each at a time into one of ``slots`` shared-memory slots.

    ``frames`` is the ring: uint16 ``[slots, K, 3, H, W]``. ``timeout`` is in seconds a clip.
    """

    def __init__(self, spec: DecodeSpec, workers: int, slots: int, timeout: float) -> None:
        self._spec, self._timeout = spec, timeout
        self._context: Any = multiprocessing.get_context(_START_METHOD)
        shape = (slots, spec.slots, 3, spec.height, spec.width)
        # An anonymous array: its file is unlinked at once, so that no kill can leave it behind in /dev/shm.
        self._ring: Any = self._context.RawArray("H", int(np.prod(shape)))
        self.frames: NDArray[np.uint16] = np.frombuffer(self._ring, np.uint16).reshape(shape)
        self._free = list(range(slots))
        self._any_started = False
        self._workers = [self._start() for _ in range(workers)]

    @property
    def ready(self) -> bool:
        """A worker is idle and a slot is free: ``submit`` may be called."""
        return bool(self._free) and any(worker.job is None for worker in self._workers)

    @property
    def busy(self) -> int:
        """Number of clips being decoded."""
        return sum(worker.job is not None for worker in self._workers)

    @property
    def connections(self) -> list[Connection]:
        """What becomes readable when a worker has finished or died."""
        return [worker.connection for worker in self._workers if worker.job is not None]

    def seconds_left(self) -> float | None:
        """Seconds until the next clip times out; ``None`` when none is being decoded."""
        deadlines = [worker.deadline for worker in self._workers if worker.job is not None]
        return max(0.0, min(deadlines) - time.monotonic()) if deadlines else None

    def submit(self, request: ClipRequest) -> None:
        """Start decoding a clip; only when ``ready``."""
        index = next(index for index, worker in enumerate(self._workers) if worker.job is None)
        slot = self._free.pop()
        worker = self._workers[index]
        try:
            worker.connection.send((request, slot))
        except OSError:  # it died while idle
            worker = self._replace(index)
            worker.connection.send((request, slot))
        worker.job, worker.deadline = (request, slot), time.monotonic() + self._timeout

    def collect(self) -> list[tuple[ClipRequest, int, DecodedClip | ClipError]]:
        """Clips that finished, failed, timed out or took their worker along: (request, slot, outcome).

        The caller owns the slot until ``release``.
        """
        finished = []
        for index, worker in enumerate(self._workers):
            if worker.job is None:
                continue
            outcome: DecodedClip | ClipError | None
            if worker.connection.poll():
                try:
                    outcome = worker.connection.recv()
                except (EOFError, OSError):
                    outcome = self._died(worker)
                    self._replace(index)
                if outcome is None:
                    self._any_started = True
                    continue
            elif time.monotonic() >= worker.deadline:
                outcome = DecodeError(f"decoding took longer than --clip-timeout {self._timeout:g} s and was stopped")
                self._replace(index)
            else:
                continue
            finished.append((*worker.job, outcome))
            worker.job = None
        return finished

    def release(self, slot: int) -> None:
        """Give a slot back; its frames may be overwritten from now on."""
        self._free.append(slot)

    def close(self) -> None:
        """Stop every worker at once, whatever it is doing."""
        for worker in self._workers:
            self._stop(worker)

    def _start(self) -> _Worker:
        ours, theirs = self._context.Pipe()
        # Daemons are ended with us when we end in good order; `_follow_parent` sees to the rest.
        process = self._context.Process(
            target=_serve, args=(theirs, self._ring, self.frames.shape, self._spec), name="decode", daemon=True
        )
        process.start()
        theirs.close()
        return _Worker(process, ours)

    def _replace(self, index: int) -> _Worker:
        self._stop(self._workers[index])
        self._workers[index] = self._start()
        return self._workers[index]

    @staticmethod
    def _stop(worker: _Worker) -> None:
        # SIGKILL at once: a worker hung inside a C library never returns to Python to see a gentler signal.
        worker.process.kill()
        worker.process.join()
        worker.process.close()
        worker.connection.close()

    def _died(self, worker: _Worker) -> ClipError:
        worker.process.join(5.0)
        code = worker.process.exitcode
        cause = f"exit status {code}"
        if code is not None and code < 0:
            with contextlib.suppress(ValueError):
                cause = signal.Signals(-code).name
        if not self._any_started:
            # No clip did this: it would fail every row of the table.
            raise WorkerError(f"the decoding processes cannot start ({cause}); the log above says why")
        return DecodeError(f"the decoding process died ({cause})")


def _serve(connection: Connection, ring: Any, shape: tuple[int, ...], spec: DecodeSpec) -> None:
    """A worker's life: decode what comes through the pipe until it closes."""
    from saliency_engine import decode  # noqa: PLC0415  the parent never needs the decoder's libraries

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    threading.Thread(target=_follow_parent, daemon=True).start()
    decode.silence()
    connection.send(None)  # started: everything is imported
    frames = np.frombuffer(ring, np.uint16).reshape(shape)
    while True:
        try:
            request, slot = connection.recv()
        except (EOFError, OSError):
            return
        outcome: DecodedClip | ClipError
        try:
            outcome = decode.decode_clip(request, spec, frames[slot])
        except ClipError as error:
            outcome = error
        except MemoryError:
            outcome = DecodeError("decoding ran out of memory")
        connection.send(outcome)


def _follow_parent() -> None:
    """End this process as soon as the run ends, even by kill -9."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
