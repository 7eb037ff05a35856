"""A decoding process, and the fork server that starts it."""

from __future__ import annotations

import contextlib
import multiprocessing
import multiprocessing.forkserver
import multiprocessing.process
import multiprocessing.resource_tracker
import os
import resource
import signal
import sys
import tempfile
import threading
import traceback
from collections.abc import Iterator
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from saliency_engine.errors import BugError, ClipError, DecodeError, WorkerError
from saliency_engine.facts import ClipFacts, ProbeSpec
from saliency_engine.pipeline.interpreters import starting
from saliency_engine.pipeline.ring import Ring
from saliency_engine.types import ClipRequest, DecodedClip, DecodeSpec

START_METHOD = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
PRELOADED = ["saliency_engine.pipeline.preload"]
"""What the fork server imports once for all workers."""
OUT_OF_MEMORY = 75
"""Exit status of a worker that could not get memory: a fresh process may."""


def claim_open_files(workers: int) -> None:
    """Raise this process's soft limit of open files where ``workers`` processes need it.

    Raises ``WorkerError`` where the hard limit is too low: now, rather than in mid-run with some library's message.
    """
    # Measured: 3 a worker, 10 for the fork server, memo and model; the rest for what is open for a moment.
    needed = sum(1 for _ in Path("/dev/fd").iterdir()) + 3 * workers + 24
    limit = _allow_open_files(needed)
    if limit < needed:
        raise WorkerError(
            f"this run opens up to {needed} files at a time, and the limit is {limit} (ulimit -n): "
            "raise it, or use fewer --decode-workers"
        )


def _allow_open_files(wanted: int) -> int:
    """Raise the soft limit of open files to ``wanted``, or as far as the hard one allows. How many are allowed then."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < allowed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    return allowed


def start_fork_server(*, remote: bool = False) -> None:
    """Begin the import of the decoder's libraries in the background; optional, and returns at once.

    ``remote``: and of what reads S3. It takes a second and 40 MB, which the workers then share.

    The fork server loads numba and PyAV once (0.5 s), then starts workers in milliseconds, also in place of dead
    ones. It has no threads, so that forking is safe; this process has some.
    """
    if START_METHOD != "forkserver":
        return
    _allow_open_files(1024)  # a usual limit; the server keeps the one that it is started with
    multiprocessing.set_forkserver_preload([*(["s3fs"] if remote else []), *PRELOADED])  # one that lacks is passed over
    with starting():
        multiprocessing.resource_tracker.ensure_running()  # now, because it unblocks SIGINT
    # Ctrl-C reaches every process of the terminal, but only the parent decides. A mask holds from the first moment on.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        with starting(), _short_lived_folder():
            try:
                multiprocessing.forkserver.ensure_running()
            except ChildProcessError:
                _forget_server()
                multiprocessing.forkserver.ensure_running()
    except OSError as error:
        raise WorkerError(f"the server of decoding processes cannot be started: {error}") from error
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def fork_server(*, remote: bool = False) -> Iterator[None]:
    """``start_fork_server`` for what follows. Where that fails, the server is ended before anybody says so.

    Else it goes on importing, and where memory is lacking its libraries tell that on stderr after the last line.
    """
    start_fork_server(remote=remote)
    try:
        yield
    except BaseException:
        server: Any = multiprocessing.forkserver._forkserver
        if server._forkserver_pid is not None:
            with contextlib.suppress(OSError):
                os.kill(server._forkserver_pid, signal.SIGKILL)
                os.waitpid(server._forkserver_pid, 0)
            _forget_server()
        raise


def _forget_server() -> None:
    """Let go of a fork server that has ended, or is no child of this process, which was forked from its parent."""
    server: Any = multiprocessing.forkserver._forkserver
    os.close(server._forkserver_alive_fd)
    server.__init__()
    multiprocessing.set_forkserver_preload(PRELOADED)


@contextlib.contextmanager
def _short_lived_folder() -> Iterator[None]:
    """Have the fork server's socket in a folder that is deleted at once: kill -9 would leave it in TMPDIR.

    Linux reaches a socket that has lost its name through an open handle. Named through the folder's handle, the
    socket's path is short: it must not be longer than 107 bytes. multiprocessing has no public way to do this, so
    private parts of it are changed (the same in CPython 3.11 to 3.14). Systems other than Linux are left as they are.
    """
    server: Any = multiprocessing.forkserver._forkserver
    settings: Any = multiprocessing.process.current_process()._config  # type: ignore[attr-defined]
    if not hasattr(os, "O_PATH") or not Path("/proc/self/fd").is_dir():
        yield
        return
    with tempfile.TemporaryDirectory(prefix="saliency-batch-") as folder:
        handle = os.open(folder, os.O_PATH)
        through = f"/proc/self/fd/{handle}"
        before, settings["tempdir"] = settings.get("tempdir"), through
        try:
            yield
            address = server._forkserver_address
            if isinstance(address, str) and address.startswith(through):  # else one was running already
                server._forkserver_address = f"/proc/self/fd/{os.open(address, os.O_PATH)}"
        finally:
            settings["tempdir"] = before
            os.close(handle)


def serve(connection: Connection, ring: Ring, spec: DecodeSpec | ProbeSpec) -> None:
    """What a worker does: send ``None`` when ready, then decode or probe what comes through the pipe until that closes.

    An error that is no clip's fault is sent as a ``BugError``, and ends the process.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_follow_parent, daemon=True).start()
    path: str | None = None
    try:
        from saliency_engine.video import decode  # noqa: PLC0415  the parent never needs the decoder's libraries

        decode.silence()
        connection.send(None)
        while True:
            try:
                request, ring_slot = connection.recv()
            except (EOFError, OSError):
                return
            path = request.path
            connection.send(_decode(request, spec, ring.frames[ring_slot]))
    except MemoryError:
        sys.exit(OUT_OF_MEMORY)
    except Exception as error:  # noqa: BLE001  whatever it is, the parent has to know it
        with contextlib.suppress(OSError):  # the parent has gone
            connection.send(_describe_bug(error, path))


def _describe_bug(error: Exception, path: str | None) -> BugError:
    bug = BugError(
        f"{type(error).__name__}: {error}, in a decoding process, {f'at the clip {path}' if path else 'at its start'}; "
        "saliency-batch doctor says whether a library is newer than those that were tested"
    )
    bug.add_note("".join(traceback.format_exception(error)))
    return bug


def _decode(request: ClipRequest, spec: DecodeSpec | ProbeSpec, frames: Any) -> DecodedClip | ClipFacts | ClipError:
    from saliency_engine.video import decode, probe  # noqa: PLC0415

    outcome: DecodedClip | ClipFacts | ClipError
    try:
        if isinstance(spec, ProbeSpec):
            outcome = probe.probe_clip(request, spec)
        else:
            outcome = decode.decode_clip(request, spec, frames)
    except MemoryError:
        sys.exit(OUT_OF_MEMORY)
    except ClipError as error:
        if _is_out_of_memory(error):
            sys.exit(OUT_OF_MEMORY)
        outcome = error
    if request.remote:
        return outcome
    try:
        file = Path(request.path).stat()
    except OSError:
        return outcome
    if (file.st_size, file.st_mtime_ns) != (request.size, request.mtime_ns):
        return DecodeError("the file was changed while it was being read; run the same command again")
    return outcome


def _is_out_of_memory(error: BaseException | None) -> bool:
    """Whether want of memory is the error itself, or what caused it."""
    while error is not None and not isinstance(error, MemoryError):
        error = error.__cause__
    return error is not None


def _follow_parent() -> None:
    """End this process as soon as the run ends, even by kill -9."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def is_stopped(process: BaseProcess) -> bool:
    """Whether a signal or a debugger holds a process; ``False`` where there is no /proc."""
    try:
        state = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state in {"T", "t"}


def describe_end(process: BaseProcess) -> str:
    """How a process ended: by which signal, or with which exit status."""
    process.join(5.0)
    code = process.exitcode
    if code is not None and code < 0:
        with contextlib.suppress(ValueError):
            return signal.Signals(-code).name
    return "out of memory" if code == OUT_OF_MEMORY else f"exit status {code}"
