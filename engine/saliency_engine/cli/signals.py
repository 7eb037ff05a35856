"""Ctrl-C, SIGTERM and SIGHUP stop a run in good order, and in any case soon."""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
import time
from types import FrameType

from saliency_engine.storage.atomic import must_not_stop

GRACE_SECONDS = 8.0
"""How long a run may take to stop. Then the process ends where it stands: a model's call may take minutes."""

_received: list[int] = []


class Interrupted(BaseException):
    """A signal asked the process to stop. This is no ``Exception``, so that nothing takes it for a failure."""


def listen() -> None:
    """Have the first signal raise ``Interrupted`` in the main thread, and a second one, or 8 seconds, end the process.

    To be called in the main thread when the command line starts. Signals that the parent had ignored, as nohup does,
    stay ignored.
    """
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    # Python writes every signal's number to this pipe at once. Its handlers have to wait until the main thread comes
    # back from C, so a thread reads the pipe.
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    sys.unraisablehook = _take_back
    threading.Thread(target=_insist, args=(reader,), name="signals", daemon=True).start()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _interrupt)


def exit_status() -> int:
    """128 + the number of the first signal received, 0 without one."""
    return 128 + _received[0] if _received else 0


def _interrupt(number: int, _: FrameType | None) -> None:
    if must_not_stop():
        return  # the thread sends the signal again
    _received.append(number)
    if len(_received) == 1:  # a later one must not disturb the clearing up
        raise Interrupted


def _take_back(lost: sys.UnraisableHookArgs) -> None:
    """Have an ``Interrupted`` raised again that was lost: Python drops what is raised in a finalizer or a callback.

    The import of a module runs such callbacks: three of fourteen Ctrl-C in the second second of a run went unheard.
    """
    if isinstance(lost.exc_value, Interrupted):
        _received.clear()  # the thread sends the signal again
    else:
        sys.__unraisablehook__(lost)


def _insist(reader: int) -> None:
    """In a thread: see to it that the first signal is noticed, and end the process when it is time."""
    number = os.read(reader, 1)[0]
    for _ in range(10):  # one second: `timeout` sends its signal twice at once; only a later second one is impatience
        time.sleep(0.1)
        if not _received:
            # The signal came just before the main thread went to sleep in a system call. Another one wakes it up.
            signal.pthread_kill(threading.main_thread().ident or 0, number)
    while select.select([reader], [], [], 0.0)[0]:
        os.read(reader, 64)
    select.select([reader], [], [], GRACE_SECONDS - 1.0)
    os._exit(128 + number)
